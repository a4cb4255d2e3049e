// Runs an agent by the client of AG-UI, which is not ours, and prints what it made of each run as one line of JSON.
//
//   node agui.mjs FOLDER URL TOKEN THREAD QUESTION...
//
// FOLDER is where the client is installed. The questions are put one after the other, in one conversation.
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [folder, url, token, threadId, ...questions] = process.argv.slice(2);
const { HttpAgent } = createRequire(join(folder, 'package.json'))('@ag-ui/client');

const agent = new HttpAgent({ url, threadId, headers: { Authorization: `Bearer ${token}` } });
for (const [index, question] of questions.entries()) {
  agent.messages.push({ id: `question-${index}`, role: 'user', content: question });
  const seen = { events: [], custom: {}, finished: null, error: null, refused: null };
  let messages = [];
  try {
    const { newMessages } = await agent.runAgent({}, {
      onEvent: ({ event }) => {
        if (seen.events.at(-1) !== event.type) seen.events.push(event.type);
      },
      onRunStartedEvent: ({ event }) => console.log(JSON.stringify({ started: event })),
      onCustomEvent: ({ event }) => (seen.custom[event.name] = event.value),
      onRunFinishedEvent: ({ event }) => (seen.finished = event),
      onRunErrorEvent: ({ event }) => (seen.error = event),
    });
    messages = newMessages;
  } catch (error) {
    seen.refused = { status: error.status, payload: error.payload, message: error.message };
  }
  console.log(JSON.stringify({ ...seen, messages }));
}
