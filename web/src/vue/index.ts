/** Vue composables over the client: each ends what it started with the scope that it was called in. */
export { provideClient, useClient } from './client';
export { useReadable } from './readable';
export { useRoom } from './room';
export type { RoomHandle } from './room';
export { useBots, useRun } from './bots';
export { useChat, useOutbox, useThread, useThreads } from './chat';
export type { ChatHandle } from './chat';
export { useCallStats, useDevices, useFeed } from './media';
export { useWebSocketChat } from './websocket-chat';
export type { WebSocketChat, WebSocketChatOptions } from './websocket-chat';
