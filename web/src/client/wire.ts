/**
 * The messages of protocol version 1 as they cross the socket: one JSON object per line.
 * All times are Unix milliseconds, all sizes bytes, all `seq` positions in a timeline's log.
 */

export const SUBPROTOCOL = 'confab.v1';

export type ParticipantKind = 'human' | 'bot' | 'ingress' | 'recorder';
export type Role = 'moderator' | 'member' | 'viewer';
export type ParticipantStatus = 'online' | 'reconnecting';
export type Source = 'microphone' | 'camera' | 'screen' | 'screen-audio';
export type MediaMode = 'mesh' | 'sfu';
export type RemovedReason = 'kicked' | 'banned' | 'ended' | 'denied';
export type ModerateAction =
  | 'mute' | 'kick' | 'ban' | 'lock' | 'unlock' | 'promote' | 'demote' | 'admit' | 'deny' | 'end';

/** The closed set of codes an `error` bears. */
export type WireErrorCode =
  | 'bad-message' | 'unknown-type' | 'unauthorized' | 'forbidden' | 'not-joined' | 'not-found'
  | 'too-large' | 'rate-limited' | 'conflict' | 'room-full' | 'room-locked' | 'unavailable'
  | 'timeout' | 'cancelled' | 'bot-failed' | 'internal';

/** What every message has around its body. Which field is set by whom: see the protocol, section 2. */
export interface Envelope<T = unknown> {
  type: string;
  id?: string;
  room?: string;
  thread?: string;
  from?: string;
  author?: Author;
  to?: string;
  seq?: number;
  prev?: number;
  ts?: number;
  data?: T;
}

export interface Author {
  user: string;
  name: string;
  kind: ParticipantKind;
}

export interface MediaState {
  microphone: boolean;
  camera: boolean;
  screen: boolean;
  hand: boolean;
}

export interface Participant {
  id: string;
  user: string;
  name: string;
  kind: ParticipantKind;
  role: Role;
  status: ParticipantStatus;
  joinedAt: number;
  media: MediaState;
}

export interface Auth { token: string; ticket?: string; client?: string }
export interface Limits { messageBytes: number; ratePerSecond: number; history: number }
export interface Connected {
  session: string;
  ticket: string;
  user: { id: string; name: string };
  resumed: boolean;
  heartbeatMs: number;
  deprecated?: boolean;
  expiresAt?: number;
  limits: Limits;
}
export interface Refresh { token: string }
export interface Ack { seq?: number; duplicate?: boolean; durability?: string }
export interface WireError { code: WireErrorCode; message: string; retryable: boolean; retryAfterMs?: number }
export interface SystemStatus { status: 'draining' | 'degraded' | 'ok'; message: string; reconnectAfterMs?: number }

/** A place in a timeline's log. A cursor of another epoch is worth nothing. */
export interface Cursor { seq: number; epoch: string }
export interface Join { since?: Cursor; knock?: boolean }
/** What a role's holder may do; an absent field is as the role has it. */
export interface Grants { publish?: Source[]; subscribe?: boolean; chat?: boolean; bots?: boolean }
export interface ThreadSummary { thread: string; title?: string; messages: number; last: { seq: number; ts: number } }
export interface Joined {
  self: Participant;
  role: Role;
  grants: Grants;
  participants: Participant[];
  history: Envelope[];
  recovered: boolean;
  more: boolean;
  threads: ThreadSummary[];
  media: { mode: MediaMode; iceServers: RTCIceServer[] };
  epoch: string;
  room?: RoomUpdate;
  /** user -> how far that person has read. */
  reads?: Record<string, number>;
}
export interface Removed { reason: RemovedReason; text?: string }
export interface Presence { event: 'joined' | 'left' | 'updated'; participant: Participant; reason?: string }

/** `edited`, `deleted` and `reactions` are set by the server on messages of a window. */
export interface Chat {
  text?: string;
  replyTo?: number;
  mentions?: string[];
  edited?: number;
  deleted?: boolean;
  reactions?: Record<string, string[]>;
}
export interface Edit { message: number; text: string }
export interface Delete { message: number }
export interface Reaction { message: number; emoji: string; on: boolean }
export interface Read { seq: number }
export interface Typing { typing: boolean }
export interface HistoryRequest { before?: number; limit?: number }
export interface History { messages: Envelope[]; more: boolean }
export interface Moderate { action: ModerateAction; participant?: string; source?: Source }
/** State of the room: only what changed is present. */
export interface RoomUpdate { locked?: boolean; mode?: MediaMode; recording?: boolean; title?: string; knocking?: Participant[] }

export interface SignalTrack { participant: string; source: Source }
export interface Signal {
  description?: { type: RTCSdpType; sdp: string };
  /** null marks the end of candidates (W3C webrtc, 4.8.1). */
  candidate?: RTCIceCandidateInit | null;
  generation?: number;
  /** mid -> what flows in that media section. */
  tracks?: Record<string, SignalTrack>;
}
export interface MediaModeChange { mode: MediaMode; reason: string }
export interface ActiveSpeakers { speakers: { participant: string; level: number }[] }
