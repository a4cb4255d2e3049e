import { inject, onScopeDispose, provide } from 'vue';
import type { App, InjectionKey } from 'vue';
import { createClient } from '../client/index';
import type { Client, ClientOptions } from '../client/index';

const key: InjectionKey<Client> = Symbol('confab client');

/** Makes `client` what useClient() finds in the whole application. */
export function provideClient(app: App, client: Client): void {
  app.provide(key, client);
}

/**
 * Without an argument: the client that was provided above. With one: provides it to everything below;
 * options make a client that is closed with the scope, a client that was made elsewhere stays open.
 */
export function useClient(source?: Client | ClientOptions): Client {
  if (!source) {
    const client = inject(key, null);
    if (!client) throw new Error('no client: call provideClient(app, client) or useClient(options) above');
    return client;
  }
  const own = !('join' in source);
  const client = own ? createClient(source) : source;
  if (own) onScopeDispose(() => client.close());
  provide(key, client);
  return client;
}
