/** The public surface of the client: what an application programs against. */
import type {
  Author, BotInfo, Caption, Envelope, Grants, Limits, MediaMode, ModerateAction, Participant as WireParticipant, ParticipantKind,
  ParticipantStatus, Phase, QualityReason, RecordingEnd, RemovedReason, Role, RunReceipt, Source, SystemStatus, ThreadSummary, WireErrorCode,
} from './wire';

/**
 * A live value. `subscribe` calls `fn` at once with the present value and again after each change
 * (the Svelte store contract), until the returned function is called or `signal` aborts.
 * Values are replaced, never mutated: compare by identity.
 */
export interface Readable<T> {
  readonly value: T;
  subscribe(fn: (value: T) => void, options?: { signal?: AbortSignal }): () => void;
}

/* ---------------------------------------------------------------- errors */

/** Codes of the wire, and those that arise on this side of it. */
export type ErrorCode =
  | WireErrorCode
  /** No connection could be made, or it was lost. */
  | 'network'
  /** close() was called, or the room was left. */
  | 'closed'
  | 'kicked' | 'banned' | 'ended' | 'denied'
  /** A newer connection took this session over (4010): another tab, most often. */
  | 'replaced'
  /** The other side broke the protocol. */
  | 'protocol'
  /** This browser, or this page (no secure context), cannot do it. */
  | 'unsupported'
  /** The person or a policy refused the device. */
  | 'device-denied'
  | 'device-missing'
  /** Another program holds the device. */
  | 'device-busy'
  /** The person closed the share picker: not a fault, ask again any time. */
  | 'share-cancelled';

/** The one error class of this library: every rejected promise and every `error` value bears it. */
export interface ClientErrorLike extends Error {
  readonly code: ErrorCode;
  /** Whether the same call may succeed later with nothing changed. */
  readonly retryable: boolean;
  /** Milliseconds to wait before trying again, when the server said so. */
  readonly retryAfterMs?: number;
  /** What the person can do about it, in English; translate by `code`. */
  readonly hint?: string;
}

/* ---------------------------------------------------------------- connection */

/**
 * - `idle`: connect() was not called yet
 * - `connecting`: the first connection is being made
 * - `online`: authenticated
 * - `recovering`: the connection was lost; being made anew, or waiting until `nextRetryAt`
 * - `offline`: the same, and the browser says that there is no network: tries at once when it is back
 * - `closed`: for good: close(), or a reason after which trying again is of no use (`error` says)
 */
export type ConnectionState = 'idle' | 'connecting' | 'online' | 'recovering' | 'offline' | 'closed';

export interface ConnectionDetail {
  readonly state: ConnectionState;
  /** WebSocket close code of the last end; 0 when there was none. */
  readonly code: number;
  readonly reason: string;
  /** Attempts to come back since the last good connection; 0 for the first connection ever. */
  readonly attempt: number;
  /** Unix ms of the next attempt, null when none is scheduled. */
  readonly nextRetryAt: number | null;
  /** Whether the server took up the earlier session. */
  readonly recovered: boolean;
  /** Whether the connection goes over plain HTTP, which is slower, because WebSockets did not work. */
  readonly fallback: boolean;
}

export interface RetryContext {
  /** 1 for the first attempt to come back. */
  readonly attempt: number;
  /** Milliseconds since the connection was lost. */
  readonly elapsedMs: number;
  /** WebSocket close code; 1006 when the connection could not be made. */
  readonly code: number;
}

export type TokenReason = 'connect' | 'refresh' | 'expired' | 'unauthorized';
export type TokenProvider = (context: { reason: TokenReason }) => string | Promise<string>;

/** The part of the WebSocket interface that is used, so that Node and tests can bring their own. */
export interface WebSocketLike {
  readonly readyState: number;
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  onerror: ((event: Event) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}
export type WebSocketConstructor = new (url: string, protocols?: string | string[]) => WebSocketLike;

/** Where unsent messages survive a reload. Synchronous, like Web Storage; see `webStorage`. */
export interface OutboxStore {
  load(): string | null;
  save(value: string): void;
}

export interface Logger {
  debug(message: string, detail?: unknown): void;
  warn(message: string, detail?: unknown): void;
}

export interface ClientOptions {
  /** `wss://host/ws`, or a path such as `/ws` on this page's origin. */
  url: string | (() => string | Promise<string>);
  /** A token, or who makes one: asked again when the token is about to expire or was refused. */
  token: string | TokenProvider;
  /** Milliseconds until the next attempt, null to give up. Default: full jitter up to 20 s, for ever. */
  retry?: (context: RetryContext) => number | null;
  /** Overrides what the server asks for, milliseconds. */
  heartbeatMs?: number;
  /** Default for requests, milliseconds (15 s). */
  timeoutMs?: number;
  outbox?: OutboxOptions;
  /** Default: the platform's, and where that is blocked plain HTTP, beside `url`. */
  WebSocket?: WebSocketConstructor;
  log?: Logger;
  /** Sent in `auth.client`, for the server's log: name and version of the application. */
  name?: string;
}

export interface OutboxOptions {
  /** Default: memory only. */
  store?: OutboxStore;
  /** Messages kept at most (200); the next send fails with `too-large`. */
  maxCount?: number;
  /** Bytes of text kept at most (256 KiB). */
  maxBytes?: number;
  /** A message that could not be sent for this long fails with `timeout`, milliseconds (24 h). */
  maxAgeMs?: number;
}

export interface RequestOptions {
  /** Of what is in a thread: `room~thread`. */
  room?: string;
  to?: string;
  /** Default: a random UUID. */
  id?: string;
  timeoutMs?: number;
  signal?: AbortSignal;
}

export interface ClientEvents {
  /** Every message of the server, before anything else reads it. */
  message: Envelope;
  /** The server is about to restart, or is in trouble. */
  'system-status': SystemStatus;
  /** A new connection is authenticated; `resumed`: the earlier session goes on. */
  connected: { session: string; resumed: boolean };
}

export interface Client {
  readonly state: Readable<ConnectionState>;
  readonly detail: Readable<ConnectionDetail>;
  /** Why the connection is not good, null while it is. */
  readonly error: Readable<ClientErrorLike | null>;
  /** Who the server takes us for, null until the first `online`. */
  readonly user: Readable<{ readonly id: string; readonly name: string } | null>;
  readonly limits: Readable<Limits>;
  /** Rooms that were joined and not left. */
  readonly rooms: Readable<readonly Room[]>;
  /** Messages that are not stored yet, oldest first, of all rooms. */
  readonly outbox: Readable<readonly Outgoing[]>;

  /** Starts connecting; resolves with the first `online`, rejects when the state becomes `closed`. */
  connect(): Promise<void>;
  /** Resolves while `online`; rejects with `timeout`, or when the state is or becomes `closed`. */
  ready(options?: { timeoutMs?: number; signal?: AbortSignal }): Promise<void>;
  /** Tries at once when waiting for the next attempt; probes the connection when online. */
  retryNow(): void;
  /** Leaves every room and ends the connection for good. */
  close(reason?: string): void;

  /**
   * Sends one request and resolves with its answer, `data` typed by the caller.
   * Rejects with the server's error, `timeout`, `network` when the connection is lost before the
   * answer, `cancelled` when `signal` aborts.
   */
  request<T>(type: string, data?: unknown, options?: RequestOptions): Promise<Envelope<T>>;
  /** Sends without awaiting an answer. Returns false when not online: then nothing is kept. */
  send(type: string, data?: unknown, options?: RequestOptions): boolean;
  /** Calls `fn` on every `name` until the returned function is called. */
  on<K extends keyof ClientEvents>(name: K, fn: (event: ClientEvents[K]) => void): () => void;

  /**
   * Joins a room; connects first if needed. Rejects with `forbidden`, `room-full`, `room-locked`,
   * `banned`, `not-found`. Joined once, the room is kept joined through every reconnect.
   */
  join(room: string, options?: JoinOptions): Promise<Room>;
}

/* ---------------------------------------------------------------- rooms */

export interface JoinOptions {
  /** The object that the lobby previewed with. Default: a new one with everything off. */
  media?: LocalMedia;
  /** Whether to take part in the call. Default: true where RTCPeerConnection exists. */
  call?: boolean;
  /**
   * Wait at a locked door until a moderator lets us in, instead of failing with `room-locked`. join() resolves then;
   * it rejects with `denied`, with `timeout` when nobody came, `ended`, `banned`, or `room-full` when too many wait.
   * Aborting `signal` stops the waiting.
   */
  knock?: boolean;
  signal?: AbortSignal;
}

/**
 * - `joined`
 * - `rejoining`: the connection was lost; the view stays as it was
 * - `left`: leave() or close()
 * - `removed`: by the server; `removed` says why
 */
export type RoomState = 'joined' | 'rejoining' | 'left' | 'removed';

export interface RoomInfo {
  readonly title: string;
  readonly locked: boolean;
  readonly recording: boolean;
  /** Who waits at the locked door, in the order they came; told to moderators. `moderate('admit' or 'deny', { participant })` answers. */
  readonly knocking?: readonly WireParticipant[];
  /** Why the last recording has ended, if one has since we came. */
  readonly recordingEnded?: RecordingEnd;
  /** Bots that hear what people say: it goes to a server that writes it down. */
  readonly hearing?: readonly string[];
  /** How media flows: between the browsers, or through the server. */
  readonly mode: MediaMode;
}

export interface RoomEvents {
  /** A chat message of anybody was stored while we were in the room; not for history. */
  message: Message;
  /** Someone came; not for those who were there when we joined. */
  'participant-joined': Participant;
  'participant-left': Participant;
  /** The room is in step again after a connection loss; false: the window was replaced. */
  resumed: { recovered: boolean };
  /** A moderator switched one of our sources off; it is off already. */
  muted: { source: 'microphone' | 'camera' | 'screen' };
}

/** Whom or what `moderate` is about. */
export interface ModerateTarget {
  participant?: string;
  /** Of `mute` and `unmute`. */
  source?: Source;
  /** Of `unban`; who is banned answers the request `bans`. */
  user?: string;
  /** Of `capacity`: how many participants the room holds; absent = as the server has it. */
  capacity?: number;
}

export interface Room {
  readonly id: string;
  readonly state: Readable<RoomState>;
  readonly removed: Readable<{ readonly reason: RemovedReason; readonly text: string } | null>;
  readonly info: Readable<RoomInfo>;
  readonly role: Readable<Role>;
  readonly grants: Readable<Grants>;
  /** This client; also in `participants`. */
  readonly self: Readable<Participant>;
  /** By time of joining, self included. An object lives as long as its participant is here. */
  readonly participants: Readable<readonly Participant[]>;
  /** The same, merged by `user`: someone with two tabs is one person. */
  readonly people: Readable<readonly Person[]>;
  /** Who is heard, loudest first; told at most four times a second. */
  readonly speakers: Readable<readonly Participant[]>;
  /** Whether the cameras of others come at most 320 pixels wide where the server can choose. Screens stay as they are. */
  readonly lowBandwidth: Readable<boolean>;
  readonly chat: Chat;
  /** Null where the server has no bots, and until their part of this library is loaded. */
  readonly bots: Readable<Bots | null>;
  /** Threads with messages that we may see, the one with the newest message first. */
  readonly threads: Readable<readonly ThreadSummary[]>;
  readonly media: LocalMedia;
  on<K extends keyof RoomEvents>(name: K, fn: (event: RoomEvents[K]) => void): () => void;

  /**
   * Opens a thread and follows it until it is closed as often as it was opened. `m` and a seq name the thread on that message;
   * with `private`, the user of a bot, it is the one that nobody else can see. At most 32 are open at a time.
   */
  thread(name: string | { readonly private: string }): Promise<Thread>;
  /** Raises or lowers our hand. */
  setHand(up: boolean): void;
  setLowBandwidth(on: boolean): void;
  /** Moderators only, else `forbidden`. `mute` without a source mutes the microphone. */
  moderate(action: ModerateAction, target?: ModerateTarget): Promise<void>;
  /** One reading of getStats of all peer connections. */
  stats(): Promise<CallStats>;
  /** Resolves when the server knows, or at once when the connection is lost. */
  leave(): Promise<void>;
}

/** One session in the room. Constant fields are plain, live ones readable. */
export interface Participant {
  readonly id: string;
  readonly user: string;
  readonly kind: ParticipantKind;
  readonly joinedAt: number;
  readonly isSelf: boolean;
  readonly name: Readable<string>;
  readonly role: Readable<Role>;
  readonly status: Readable<ParticipantStatus>;
  /** What the participant says is on. A feed may come a little later than its flag. */
  readonly media: Readable<{ readonly microphone: boolean; readonly camera: boolean; readonly screen: boolean }>;
  /** Unix ms at which the hand was seen to go up, null while down: sort by it. */
  readonly hand: Readable<number | null>;
  /** Live tracks. Camera and screen only while they are on; the microphone as long as it is connected. */
  readonly feeds: Readable<readonly MediaFeed[]>;
  /** Loudness of the microphone, 0 to 1, ten times a second. */
  readonly level: Readable<number>;
  /** True from 100 ms of speech until 500 ms of silence. */
  readonly speaking: Readable<boolean>;
  /**
   * State of the media path; `none` for ourselves and for those we have no path with. Through the server all have
   * the same one, and `none` is who sends nothing.
   */
  readonly link: Readable<LinkState>;
}

export type LinkState = 'none' | 'connecting' | 'connected' | 'interrupted' | 'failed';

export interface Person {
  readonly user: string;
  readonly name: string;
  readonly kind: ParticipantKind;
  readonly isSelf: boolean;
  /** At least one, by time of joining. */
  readonly participants: readonly Participant[];
}

/* ---------------------------------------------------------------- media */

export interface MediaFeed {
  /** Stable as long as the feed lives. */
  readonly id: string;
  /** Participant id; empty for our own feeds. */
  readonly participant: string;
  readonly source: Source;
  readonly isLocal: boolean;
  /** Of a remote feed: another one as soon as the media of the room flows another way. */
  readonly track: MediaStreamTrack;
  /** Holds `track` alone; the same object every time. */
  readonly stream: MediaStream;
  /** Nothing arrives at present: silence or a frozen frame. */
  readonly muted: Readable<boolean>;
  /** What the server sends us of it and why not more; null as long as it has not said so, and between browsers. */
  readonly quality: Readable<FeedQuality | null>;
  /**
   * Plays the feed in `element` until the returned function is called. Local feeds and video are
   * played muted; remote audio follows the chosen speaker. When autoplay is refused,
   * `LocalMedia.blocked` is true until `unblock()` is called from a click.
   *
   * Video through the server comes as large as the largest of its elements that can be seen, and not at all while
   * none can.
   */
  attach(element: HTMLMediaElement): () => void;
}

export interface FeedQuality {
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  /** Bits a second. */
  readonly bitrate: number;
  /** VP8, VP9, H264, AV1; empty = not known. */
  readonly codec: string;
  /** Of how many: `2/3`, with temporal layers `2/3 T1/3`; empty = there is one only. */
  readonly layer: string;
  /** What limits it most. */
  readonly reason: QualityReason;
}

export interface DeviceState {
  readonly on: boolean;
  /** A change is under way (most often: the permission prompt is open). */
  readonly busy: boolean;
  /** The device in use or chosen for the next time; empty = the system's default. */
  readonly deviceId: string;
  /** The live track while on; for the microphone also while muted, when it was opened before. */
  readonly feed: MediaFeed | null;
  /** Why the last attempt failed, null after one that succeeded. */
  readonly error: ClientErrorLike | null;
}

export interface Devices {
  readonly cameras: readonly MediaDeviceInfo[];
  readonly microphones: readonly MediaDeviceInfo[];
  readonly speakers: readonly MediaDeviceInfo[];
  /** Browsers give labels only after a permission: without them show "Camera 1". */
  readonly labelled: boolean;
}

export interface ShareOptions {
  /** Also the sound of the tab or system, where the browser can (default true). */
  audio?: boolean;
  /** `detail` keeps text sharp (default), `motion` keeps video smooth. */
  hint?: 'detail' | 'motion';
}

/**
 * Own devices. Made with `createLocalMedia()` before joining (the lobby's preview) and given to
 * `join`; it outlives rooms, until close(). Nothing is opened until asked for.
 */
export interface LocalMedia {
  readonly camera: Readable<DeviceState>;
  readonly microphone: Readable<DeviceState>;
  /** `deviceId` is unused; `feed` is the video. */
  readonly screen: Readable<DeviceState>;
  /** All own feeds: camera, microphone, screen, screen-audio. */
  readonly feeds: Readable<readonly MediaFeed[]>;
  readonly devices: Readable<Devices>;
  /** Loudness of the microphone, 0 to 1, also while muted ("you are muted" hints). */
  readonly level: Readable<number>;
  /** Output device of remote audio; empty = the system's default. */
  readonly speaker: Readable<string>;
  /** Autoplay was refused: show a button that calls unblock(). */
  readonly blocked: Readable<boolean>;
  /** What this browser can do. */
  readonly supports: { readonly devices: boolean; readonly share: boolean; readonly speaker: boolean };

  /**
   * On, off, or on with a device. Off stops the track, so that the light goes out. Rejects with
   * `device-denied`, `device-missing`, `device-busy`, `unsupported`; then the source stays off.
   */
  setCamera(on: boolean | { deviceId: string }): Promise<void>;
  /** Off mutes (the track stays open, so that unmuting is instant); the same errors. */
  setMicrophone(on: boolean | { deviceId: string }): Promise<void>;
  /** Chooses a device for the next time it is switched on, or changes it at once when on. */
  selectDevice(kind: 'camera' | 'microphone', deviceId: string): Promise<void>;
  /** Opens the browser's picker; rejects with `share-cancelled`. Also resolves when already sharing. */
  share(options?: ShareOptions): Promise<void>;
  stopShare(): void;
  setSpeaker(deviceId: string): Promise<void>;
  /** Lists devices again; happens by itself on `devicechange` and after a permission. */
  refreshDevices(): Promise<void>;
  /** Plays what autoplay refused. Call from a click. */
  unblock(): Promise<void>;
  /** Stops everything. */
  close(): void;
}

export interface CallStats {
  /** Unix ms. */
  readonly at: number;
  readonly peers: readonly PeerStats[];
}

/** One path: to a participant, or through the server to all. */
export interface PeerStats {
  /** Participant id, `sfu` for the path through the server. */
  readonly participant: string;
  readonly link: LinkState;
  readonly quality: 'good' | 'fair' | 'poor' | 'lost';
  /** null = not known yet. */
  readonly roundTripMs: number | null;
  readonly sendKbps: number;
  readonly receiveKbps: number;
  /** Of what was sent to us since the reading before, 0 to 1. */
  readonly lossRatio: number;
  readonly jitterMs: number | null;
  /** `udp` or `tcp`, and whether a TURN server relays. */
  readonly protocol: string;
  readonly relayed: boolean;
  /** One entry for each picture; sent ones in several sizes have one for each size. */
  readonly video: readonly {
    readonly direction: 'send' | 'receive';
    /** Whose it is. */
    readonly participant: string;
    readonly source: Source;
    /** Of what is sent in several sizes: `q`, `h` or `f`; of what is received: see FeedQuality. Empty = the only one. */
    readonly layer: string;
    readonly width: number;
    readonly height: number;
    readonly fps: number;
    readonly kbps: number;
    readonly codec: string;
    /** Of what was received since the reading before; of what was sent, as the receivers report it. 0 to 1. */
    readonly lossRatio: number;
  }[];
}

/* ---------------------------------------------------------------- chat */

/** `queued`: waits for the connection; `sending`: on its way; `sent`: stored by the server. */
export type MessageStatus = 'queued' | 'sending' | 'sent' | 'failed';

export interface Message {
  /** Stable from typing to storage: the key of a list item. */
  readonly key: string;
  /** Position in the log: how the message is named in edit, remove, react, replyTo. 0 until stored. */
  readonly seq: number;
  readonly author: Author;
  readonly isOwn: boolean;
  /** Empty when deleted. */
  readonly text: string;
  /** Unix ms: the server's, for an unsent message ours. */
  readonly at: number;
  readonly edited: number | null;
  readonly deleted: boolean;
  /** `seq` of the message answered, 0 = none. It may be older than what is loaded. */
  readonly replyTo: number;
  /** Users. */
  readonly mentions: readonly string[];
  /** emoji -> users, in the order in which they came. */
  readonly reactions: Readonly<Record<string, readonly string[]>>;
  readonly status: MessageStatus;
  /** Set while not stored: retry and cancel are there. */
  readonly outgoing: Outgoing | null;
  /** How an answer of a bot came about; nothing else has it. The `key` of an answer is that of its run. */
  readonly run?: RunReceipt;
}

export interface SendOptions {
  replyTo?: number;
  /** Users, at most 50. */
  mentions?: readonly string[];
}

/** One own message on its way. */
export interface Outgoing {
  readonly id: string;
  /** Of a message in a thread: `room~thread`. */
  readonly room: string;
  readonly text: string;
  readonly status: Readable<MessageStatus>;
  /** Why it failed. */
  readonly error: Readable<ClientErrorLike | null>;
  /** Puts a failed message back into the queue, with the same id: it is never stored twice. */
  retry(): void;
  /** Takes it out of the queue and the view. What is on its way may be stored nevertheless. */
  cancel(): void;
  /** Resolves with its seq once stored; rejects when it failed or was cancelled. */
  done(): Promise<number>;
}

export interface Chat {
  /** The log, oldest first, then own messages that are not stored. A replaced array on each change. */
  readonly log: Readable<readonly Message[]>;
  /** Whether there is something older than `log[0]`. */
  readonly more: Readable<boolean>;
  /** Names for "is typing", without ourselves. */
  readonly typing: Readable<readonly Person[]>;
  /** Messages of others after our read mark. */
  readonly unread: Readable<number>;
  /** `seq` of the first unread message, 0 = none: where to draw the line. */
  readonly firstUnread: Readable<number>;
  /** user -> how far that person has read. */
  readonly readMarks: Readable<ReadonlyMap<string, number>>;

  /** Shows the message at once and sends it as soon as possible. Never throws. */
  send(text: string, options?: SendOptions): Outgoing;
  edit(seq: number, text: string): Promise<void>;
  remove(seq: number): Promise<void>;
  /** Without `on`: toggles our reaction. */
  react(seq: number, emoji: string, on?: boolean): Promise<void>;
  /** Call on every keystroke: throttled, and stops by itself 4 s after the last. `false` stops at once. */
  setTyping(typing?: boolean): void;
  /** Moves our mark to `seq`, or to the newest message. Only forward, throttled. */
  markRead(seq?: number): void;
  /** Users (not ourselves, not the author) who have read that message. */
  readBy(seq: number): readonly string[];
  /** Loads what is before `log[0]`; resolves with whether there is more still. */
  loadOlder(limit?: number): Promise<boolean>;
  /** Moderators: erases the history for everyone. */
  clear(): Promise<void>;
}

/* ---------------------------------------------------------------- bots */

/** A bot that the room may have; `enabled` while it takes part. */
export type Bot = Readonly<BotInfo>;

export interface AskOptions {
  /** Where the answer is to stand; absent = the main timeline. */
  thread?: string;
  /** `seq` of the message that is asked about. */
  replyTo?: number;
}

/** Bots of this server. Who may what is the server's to say: `forbidden` without the grant `bots`. */
export interface Bots {
  readonly list: Readable<readonly Bot[]>;
  /** Answers being given, in the room's timeline and in threads that we follow, oldest first. When one has ended, its message stands in the chat. */
  readonly runs: Readable<readonly Run[]>;
  /** The last question that a bot did not take, of anybody: it leaves no message. A question by ask() rejects instead. */
  readonly refusal: Readable<Refusal | null>;

  /**
   * What is being said now, by whoever says it: sentences that bots speak into the call, and what people have just said, while
   * a bot hears it. A line of a person stays as long as it takes to read.
   */
  readonly captions: Readable<readonly Readonly<Caption>[]>;

  /** Lets a bot into the room, or puts it out. */
  toggle(bot: string, on: boolean): Promise<void>;
  /**
   * Gives a bot that is in the room and `speaks` a voice in the call, or takes it away; its participant's microphone says
   * whether it has one. Rejects with `forbidden` when a moderator has muted it.
   */
  setVoice(bot: string, on: boolean): Promise<void>;
  /**
   * Has a bot that is in the room and `hears` hear what people say in the call, or not; `room.info` tells everyone which do.
   * Rejects with `forbidden` unless we moderate the room.
   */
  setHearing(bot: string, on: boolean): Promise<void>;
  /**
   * Asks a bot and resolves with the run, begun or queued. A mention in the chat does the same. The prompt may be
   * empty with `replyTo`. Rejects with `rate-limited` and `retryAfterMs` when a limit of the bot is reached.
   */
  ask(bot: string, prompt: string, options?: AskOptions): Promise<string>;
  /** Asks for an answer anew; the same errors. Its asker or a moderator may. */
  regenerate(answer: Pick<Message, 'seq' | 'run'>, options?: Pick<AskOptions, 'thread'>): Promise<string>;
  /** Ends a run; what was written stays. Its asker or a moderator may. */
  cancel(run: string): Promise<void>;
  /** Lets a tool run, or not. `digest` is that of the step that was shown: nothing else can run. */
  decide(run: string, call: string, digest: string, approve: boolean): Promise<void>;
}

/** One answer on its way. The object lives as long as the run; `progress` changes. */
export interface Run {
  /** Also the key of the message that it becomes. */
  readonly id: string;
  readonly bot: string;
  /** As whom the bot speaks. */
  readonly author: Author;
  /** Empty = the main timeline. */
  readonly thread: string;
  /** Who asked. */
  readonly by: Author;
  /** What was asked, where that stands in no message. */
  readonly prompt: string;
  /** `seq` of the message that it answers, 0 = none. */
  readonly replyTo: number;
  /** `seq` of the answer that it takes the place of, 0 = none. */
  readonly regenerate: number;
  /** Unix ms by our clock. */
  readonly startedAt: number;
  readonly progress: Readable<RunProgress>;
}

export interface Refusal {
  readonly run: Run;
  /** `rate-limited`, mostly: a mention too many. */
  readonly code: ErrorCode;
  readonly message: string;
  /** 0 = not said. */
  readonly retryAfterMs: number;
}

export interface RunProgress {
  /** What it is at before it writes, as far as it has said so. */
  readonly phase: Phase | null;
  /** What it tells of its thoughts. */
  readonly thinking: string;
  /** The answer so far. */
  readonly text: string;
  readonly tools: readonly ToolStep[];
  /** Nothing is added to the text any more. */
  readonly whole: boolean;
}

/**
 * - `asked`: waits for a person's word; the asker and moderators may decide
 * - `granted`, `denied`, `expired`: what that was; a granted one runs next
 * - `running`, `done`, `failed`
 */
export type ToolState = 'asked' | 'granted' | 'denied' | 'expired' | 'running' | 'done' | 'failed';

/** One use of a tool. Empty strings = not said. */
export interface ToolStep {
  readonly call: string;
  readonly tool: string;
  readonly title: string;
  /** What the tool is given: any JSON. */
  readonly input: unknown;
  readonly state: ToolState;
  /** Of the tool and its exact input, for decide(). */
  readonly digest: string;
  /** User. */
  readonly decidedBy: string;
  /** The beginning of what the tool said, which is nobody's word. */
  readonly output: string;
  readonly error: string;
  readonly ms: number;
}

/* ---------------------------------------------------------------- threads */

/** `opening`: its messages are on their way; `closed`: by close(), with the room, or refused: see `error`. */
export type ThreadState = 'opening' | 'open' | 'closed';

/** A thread of a room that we follow. */
export interface Thread {
  readonly name: string;
  readonly state: Readable<ThreadState>;
  /** Why the server does not let us follow it. */
  readonly error: Readable<ClientErrorLike | null>;
  readonly chat: Chat;
  /** Stops following it, when it was closed as often as it was opened and nothing waits to be sent. */
  close(): void;
}
