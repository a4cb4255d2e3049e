import { WebSocket } from 'ws';
import { assertEqual, until } from './until';

interface Answer {
  readonly type: string;
  readonly id?: string;
}

/** Somebody without a browser in a room: over the bare protocol. */
interface Talker {
  ask(id: string, type: string, data: object): Promise<Answer>;
  close(): void;
}

async function enter(url: string, room: string, name: string): Promise<Talker> {
  const response = await fetch(`${url}/api/v1/guest`, { method: 'POST', body: JSON.stringify({ name, room }) });
  const { token } = (await response.json()) as { token: string };
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`, 'confab.v1');
  const answers = new Map<string, Answer>();
  socket.on('message', (frame: Buffer) => {
    for (const line of frame.toString().split('\n')) {
      if (line === '') continue;
      const answer = JSON.parse(line) as Answer;
      // Everybody gets the message itself under the same id, its author too: that is no answer.
      if (answer.id !== undefined && answer.type !== 'chat') answers.set(answer.id, answer);
    }
  });
  const ask = async (id: string, type: string, data: object): Promise<Answer> => {
    socket.send(JSON.stringify({ type, id, room, data }));
    return until(`an answer to ${type} ${id}`, () => answers.get(id), { everyMs: 5 });
  };
  await until('the socket is open', () => socket.readyState === WebSocket.OPEN);
  await ask('auth', 'auth', { token });
  await ask('join', 'join', {});
  return { ask, close: () => { socket.close(); } };
}

/** Comes into `room` and says that a camera is on, of which nothing comes. The function returned has it leave. */
export async function pretend(url: string, room: string, name: string): Promise<() => void> {
  const talker = await enter(url, room, name);
  await talker.ask('media', 'media-state', { camera: true });
  return () => { talker.close(); };
}

/** Lets a bot into `room`. */
export async function letIn(url: string, room: string, bot: string): Promise<void> {
  const talker = await enter(url, room, 'Host');
  try {
    assertEqual((await talker.ask('bot', 'bot-toggle', { bot, enabled: true })).type, 'ack', `answer to letting ${bot} in`);
    await talker.ask('leave', 'leave', {});
  } finally {
    talker.close();
  }
}

/** Writes `texts` into `room` as somebody without a browser, each once the last is stored. */
export async function recite(url: string, room: string, name: string, texts: readonly string[]): Promise<void> {
  const talker = await enter(url, room, name);
  try {
    for (const [index, text] of texts.entries()) {
      const { type } = await talker.ask(`m-${index}`, 'chat', { text });
      assertEqual(type, 'ack', `answer to "${text}"`);
    }
    await talker.ask('leave', 'leave', {});
  } finally {
    talker.close();
  }
}
