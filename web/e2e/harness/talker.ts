import { WebSocket } from 'ws';
import { assertEqual, until } from './until';

interface Answer {
  readonly type: string;
  readonly id?: string;
}

/** Writes `texts` into `room` as somebody without a browser: over the bare protocol, each once the last is stored. */
export async function recite(url: string, room: string, name: string, texts: readonly string[]): Promise<void> {
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
  try {
    await until('the socket is open', () => socket.readyState === WebSocket.OPEN);
    await ask('auth', 'auth', { token });
    await ask('join', 'join', {});
    for (const [index, text] of texts.entries()) {
      const { type } = await ask(`m-${index}`, 'chat', { text });
      assertEqual(type, 'ack', `answer to "${text}"`);
    }
    await ask('leave', 'leave', {});
  } finally {
    socket.close();
  }
}
