/** The client: rooms, chat and calls of a Confab server, for any framework or none. */
export { createClient } from './client';
export { ClientError } from './errors';
export { createLocalMedia } from './media/local';
export { webStorage } from './outbox';
export type * from './types';
export type {
  Author, Envelope, Grants, Limits, MediaMode, ModerateAction, ParticipantKind, ParticipantStatus, RecordingEnd, RemovedReason, Role,
  Source, SystemStatus, ThreadSummary,
} from './wire';
