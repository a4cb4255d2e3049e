/** 40 x 40 x 900 names: enough that two groups rarely meet by chance, short enough to say aloud. */
const first =
  'amber bold brave bright calm clear clever cosy crisp daring eager early fair fresh gentle glad golden grand happy honest keen kind lively lucky mellow merry noble quick quiet rapid shiny silver sunny swift tidy vivid warm wise witty young';
const second =
  'badger beacon bridge brook canyon cedar comet coral crane delta falcon fern fjord forest garden harbor heron island lagoon lantern lynx maple meadow moon ocean orchard otter panda pine planet prairie raven reef river robin summit tiger valley willow wren';

/** A random name such as "sunny-otter-427". */
export function randomRoomName(random: () => number = secureRandom): string {
  const pick = (words: string): string => {
    const all = words.split(' ');
    return all[Math.floor(random() * all.length)] ?? 'room';
  };
  return `${pick(first)}-${pick(second)}-${100 + Math.floor(random() * 900)}`;
}

function secureRandom(): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) / 2 ** 32;
}

/**
 * The room that `input` means: a link to a room, or a name as a person writes it.
 * Names are 1 to 64 of `a-z 0-9 - _`; what remains of "Team Lunch!" is "team-lunch". Empty: none.
 */
export function parseRoom(input: string): string {
  const inLink = /\/r\/([^/?#\s]+)/.exec(input);
  const name = inLink?.[1] ?? input;
  return decode(name)
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[\u0300-\u036f]/g, '')
    .replace(/[^a-z0-9_]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 64);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A lone percent sign is no escape; it is taken as it stands.
    return text;
  }
}

export function roomLink(room: string): string {
  return `${location.origin}/r/${room}`;
}
