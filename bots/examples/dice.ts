/**
 * A bot that lives outside of the server: it rolls dice for who mentions it, by the same SDK as the web app.
 *
 *   export CONFAB_TOKEN=$(confab token --user dice --name Dice --kind bot --rooms lobby)
 *   web/node_modules/.bin/esbuild bots/examples/dice.ts --bundle --platform=node --outfile=/tmp/dice.cjs
 *   node --experimental-websocket /tmp/dice.cjs ws://127.0.0.1:8080/ws lobby
 */
import { createClient, type Chat, type Message } from '../../web/src/client';

const [url = '', roomName = ''] = process.argv.slice(2);

/** `2d6` is two dice of six sides; without it, one is rolled. */
function roll(text: string): string {
  const [, dice = '1', sides = '6'] = /(\d{1,2})d(\d{1,4})/.exec(text) ?? [];
  const rolled = Array.from({ length: Number(dice) }, () => 1 + Math.floor(Math.random() * Number(sides)));
  const sum = rolled.reduce((a, b) => a + b, 0);
  return rolled.length > 1 ? `${rolled.join(' + ')} = ${sum}` : String(sum);
}

async function main(): Promise<void> {
  // It comes back by itself after each loss, for ever.
  const client = createClient({ url, token: process.env.CONFAB_TOKEN ?? '', name: 'dice' });
  client.state.subscribe((state) => {
    console.error(`dice: ${state}`);
    if (state === 'closed') process.exit(1); // the token is not good, or a moderator has put us out
  });
  const room = await client.join(roomName, { call: false });
  const { user, name } = room.self.value;
  const mentioned = new RegExp(`@${name.value.replace(/\W/g, '\\$&')}\\b`, 'i');

  const answer = (chat: Chat, message: Message): void => {
    // What a bot says is never answered, so that two of them come to an end.
    if (message.isOwn || message.author.kind === 'bot') return;
    if (!message.mentions.includes(user) && !mentioned.test(message.text)) return;
    chat.send(`${message.author.name} rolls ${roll(message.text)}`, { replyTo: message.seq });
  };
  // What was said while the connection was lost comes here too, once it is back. What is said in threads would come by
  // room.thread(name).
  room.on('message', (message) => answer(room.chat, message));
}

main().catch((error: unknown) => {
  console.error('dice:', error);
  process.exit(1);
});
