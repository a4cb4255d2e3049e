/** The client: rooms, chat and calls of a Confab server, for any framework or none. */
export { createClient } from './client';
export { ClientError } from './errors';
export { createLocalMedia } from './media/local';
export { webStorage } from './outbox';
export type * from './types';
export type {
  Author, Ban, BotInfo, BotLimits, BotTool, Caption, Envelope, Grants, Limits, MediaMode, ModerateAction, ParticipantKind, ParticipantStatus, Phase,
  RecordingEnd, RemovedReason, Role, RunReceipt, RunStatus, Source, SystemStatus, ThreadSummary, ToolUse, Usage,
} from './wire';
