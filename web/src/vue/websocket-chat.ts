import { computed, onScopeDispose } from 'vue';
import type { ComputedRef, ShallowRef } from 'vue';
import { createClient } from '../client/index';
import type {
  ClientErrorLike, ClientOptions, ConnectionState, Envelope, RetryContext,
} from '../client/index';
import { useReadable } from './readable';

export interface WebSocketChatOptions {
  /** Where the server is. A `token` in its query goes into the first message instead: no secret stays in a URL. */
  url: string;
  /** Connects at once (default true). */
  autoConnect?: boolean;
  /** Attempts after a loss before giving up. Default: no limit. */
  reconnectLimit?: number;
  /** The wait before the first attempt, milliseconds; doubles with every one, up to 20 s. Default 1000. */
  reconnectInterval?: number;
  /** Milliseconds. Default: what the server asks for. */
  heartbeatInterval?: number;
  /** Default: `token` in the query of `url`. */
  token?: ClientOptions['token'];
  WebSocket?: ClientOptions['WebSocket'];
}

export interface WebSocketChat {
  readonly status: Readonly<ShallowRef<ConnectionState>>;
  readonly isConnected: ComputedRef<boolean>;
  readonly error: Readonly<ShallowRef<ClientErrorLike | null>>;
  connect(): Promise<void>;
  disconnect(): void;
  /**
   * Sends one message and resolves with its answer. A room that was entered with `join` is entered
   * again after every reconnect, and a `chat` in it is kept until the server has stored it.
   */
  send(message: Pick<Envelope, 'type' | 'room' | 'thread' | 'to' | 'data'>): Promise<Envelope>;
  /** Calls `handler` on every message of that type, `*` on all. */
  on(type: string, handler: (message: Envelope) => void): void;
  off(type: string, handler: (message: Envelope) => void): void;
}

const longestWaitMs = 20_000;

/** The chat of one server as refs and functions, for components that need no more. Ends with the scope. */
export function useWebSocketChat(options: WebSocketChatOptions): WebSocketChat {
  const { url, token } = split(options);
  const { reconnectLimit = Infinity, reconnectInterval = 1_000 } = options;
  const client = createClient({
    url, token, WebSocket: options.WebSocket,
    heartbeatMs: options.heartbeatInterval,
    retry: ({ attempt }: RetryContext) => {
      if (attempt > reconnectLimit) return null;
      // Half of the wait is random, so that many clients do not come back in step.
      const longest = Math.min(longestWaitMs, reconnectInterval * 2 ** (attempt - 1));
      return longest / 2 + Math.random() * (longest / 2);
    },
  });
  const handlers = new Map<string, Set<(message: Envelope) => void>>();
  client.on('message', (message) => {
    for (const type of [message.type, '*']) for (const handler of [...(handlers.get(type) ?? [])]) handler(message);
  });
  const status = useReadable(client.state);

  async function send(message: Pick<Envelope, 'type' | 'room' | 'thread' | 'to' | 'data'>): Promise<Envelope> {
    const { type, room: id, thread, to, data } = message;
    const room = client.rooms.value.find((r) => r.id === id);
    if (type === 'join' && id !== undefined) {
      await client.join(id, { call: false });
      return { type: 'ack', room: id };
    }
    if (type === 'chat' && room && thread === undefined) {
      const { text, ...more } = data as { text: string; replyTo?: number; mentions?: string[] };
      return { type: 'ack', room: id, data: { seq: await room.chat.send(text, more).done() } };
    }
    if (type === 'leave' && room) {
      await room.leave();
      return { type: 'ack', room: id };
    }
    return client.request(type, data, { room: thread ? `${id}~${thread}` : id, to });
  }

  if (options.autoConnect ?? true) client.connect().catch(() => undefined);
  onScopeDispose(() => client.close());
  return {
    status, send,
    isConnected: computed(() => status.value === 'online'),
    error: useReadable(client.error),
    connect: () => client.connect(),
    disconnect: () => client.close(),
    on: (type, handler) => void handlers.set(type, (handlers.get(type) ?? new Set()).add(handler)),
    off: (type, handler) => void handlers.get(type)?.delete(handler),
  };
}

function split({ url, token }: WebSocketChatOptions): { url: string; token: ClientOptions['token'] } {
  const [path = '', query = ''] = url.split('?', 2);
  const parameters = new URLSearchParams(query);
  const inUrl = parameters.get('token') ?? '';
  parameters.delete('token');
  const rest = parameters.toString();
  return { url: rest === '' ? path : `${path}?${rest}`, token: token ?? inUrl };
}
