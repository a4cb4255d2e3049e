import { describe, expect, it } from 'vitest';
import { browserOf } from './browser';
import { hue, initials } from './person';
import { parseRoom, randomRoomName } from './roomName';

describe('parseRoom', () => {
  it.each([
    ['team-lunch', 'team-lunch'],
    ['Team Lunch!', 'team-lunch'],
    ['  https://example.org/r/sunny-otter-427?x=1#y ', 'sunny-otter-427'],
    ['example.org/r/Sunny', 'sunny'],
    ['Café 100%', 'cafe-100'],
    ['--a--', 'a'],
    ['!!!', ''],
    ['x'.repeat(80), 'x'.repeat(64)],
  ])('%s', (input, want) => expect(parseRoom(input)).toBe(want));
});

it('random names are valid names', () => {
  for (let i = 0; i < 50; i++) {
    const name = randomRoomName(Math.random);
    expect(name).toMatch(/^[a-z]+-[a-z]+-\d{3}$/);
    expect(parseRoom(name)).toBe(name);
  }
});

it.each([
  ['Ada Lovelace', 'AL'],
  ['ada', 'A'],
  ['', '?'],
  ['Jean Luc Picard', 'JP'],
  ['李 小龙', '李小'],
  ['👩‍🚀 x', '👩X'],
])('initials of %s', (name, want) => expect(initials(name)).toBe(want));

it('a hue is stable and on the wheel', () => {
  expect(hue('u1')).toBe(hue('u1'));
  expect(hue('u1')).not.toBe(hue('u2'));
  expect(hue('anything')).toBeLessThan(360);
});

it.each([
  ['Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36', 'chrome'],
  ['Mozilla/5.0 (Macintosh) AppleWebKit/605.1 (KHTML, like Gecko) Version/18 Safari/605.1', 'safari'],
  ['Mozilla/5.0 (X11; rv:130.0) Gecko/20100101 Firefox/130.0', 'firefox'],
  ['Mozilla/5.0 (iPhone; CPU iPhone OS 18) AppleWebKit CriOS/130 Safari/605', 'ios'],
  ['Mozilla/5.0 (Linux; Android 15) Chrome/130 Mobile Safari/537.36', 'android'],
])('%s', (agent, want) => expect(browserOf(agent)).toBe(want));
