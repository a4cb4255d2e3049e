/** The messages as they cross the socket; generated from the server's own types. */
export * from './wire.gen';
