import type { Computed } from './readable';
import type { AskOptions, Bot, Bots, Chat, Message, Participant, Readable, Refusal, Run, RunProgress, ToolStep } from './types';
import type * as wire from './wire';

/** What bots need of their room. A thread is addressed as `room~thread`. */
export interface BotRoom {
  readonly id: string;
  readonly participants: Readable<readonly Participant[]>;
  readonly chat: Chat;
  /** Awaits the room being joined, and repeats what fails on the way with the same id. */
  request<T>(type: string, data: unknown, room?: string): Promise<wire.Envelope<T>>;
  /** Joins again, unless that is under way. */
  enter(): Promise<void>;
}

const blankStep: Omit<ToolStep, 'call'> = {
  tool: '', title: '', input: undefined, state: 'running', digest: '', decidedBy: '', output: '', error: '', ms: 0,
};

/** How long a line that somebody has said stays: as long as it takes to read. */
const readingMs = (text: string): number => Math.min(2_000 + text.length * 60, 8_000);

/** An answer that is being given: what its frames say, in one piece. */
class RunView implements Run {
  readonly id: string;
  readonly bot: string;
  readonly author: wire.Author;
  readonly thread: string;
  readonly by: wire.Author;
  readonly prompt: string;
  readonly replyTo: number;
  readonly regenerate: number;
  readonly startedAt: number;
  readonly progress: Computed<RunProgress>;
  #now: RunProgress = { phase: null, thinking: '', text: '', tools: [], whole: false };
  /** Where a gap was asked about already: what joining again did not bring comes with the message. */
  #askedAt = -1;

  constructor(start: wire.AgentStarted, author: wire.Author, thread: string, startedAt: number, cell: typeof Computed) {
    this.id = start.run;
    this.bot = start.bot;
    this.author = author;
    this.thread = thread;
    this.by = start.by;
    this.prompt = start.prompt ?? '';
    this.replyTo = start.replyTo ?? 0;
    this.regenerate = start.regenerate ?? 0;
    this.startedAt = startedAt;
    this.progress = new cell(() => this.#now);
  }

  /** All of it so far: takes the place of what we have. */
  reset({ phase, thinking = '', text, tools = [], done = [], waiting }: wire.RunState): void {
    this.#now = { phase: phase ?? null, thinking, text, tools: [], whole: false };
    for (const tool of tools) this.#executing(tool);
    for (const tool of done) this.#completed(tool);
    if (waiting) this.#approval(waiting);
    this.progress.invalidate();
  }

  /** One frame of the run. Returns false when something before it is missing that joining again may bring. */
  receive({ type, data }: wire.Envelope): boolean {
    switch (type) {
      case 'agent-thinking': this.#thinking(data as wire.AgentThinking); break;
      case 'tool-executing': this.#executing(data as wire.ToolExecuting); break;
      case 'tool-completed': this.#completed(data as wire.ToolCompleted); break;
      case 'tool-approval': this.#approval(data as wire.ToolApproval); break;
      case 'stream-start': this.#patch({ phase: null }); break;
      case 'stream-chunk': return this.#chunk(data as wire.StreamChunk);
      case 'stream-end': this.#patch({ phase: null, whole: true }); break;
    }
    return true;
  }

  #patch(change: Partial<RunProgress>): void {
    this.#now = { ...this.#now, ...change };
    this.progress.invalidate();
  }

  #thinking({ text = '', phase = this.#now.phase ?? undefined }: wire.AgentThinking): void {
    this.#patch({ phase: phase ?? null, thinking: this.#now.thinking + text });
  }

  #chunk({ offset, text }: wire.StreamChunk): boolean {
    const have = this.#now.text;
    if (offset > have.length) {
      const asked = this.#askedAt === have.length;
      this.#askedAt = have.length;
      return asked;
    }
    // A repeat may bring more after what is known: pieces that wait are merged.
    if (offset + text.length > have.length) this.#patch({ phase: null, text: have.slice(0, offset) + text });
    return true;
  }

  #executing({ call, tool, title = '', input }: wire.ToolExecuting): void {
    this.#step(call, { tool, title, input, state: 'running' });
  }

  #completed({ call, tool, ok, output = '', error = '', ms }: wire.ToolCompleted): void {
    const { state } = this.#now.tools.find((step) => step.call === call) ?? {};
    // A tool that nobody let run has ended, too: why says more than that it did.
    const refused = state === 'denied' || state === 'expired';
    this.#step(call, { tool, output, error, ms, ...(refused ? {} : { state: ok ? 'done' : 'failed' }) });
  }

  #approval({ call, tool, title = '', input, digest, state, by = '' }: wire.ToolApproval): void {
    this.#step(call, { tool, title, input, digest, state, decidedBy: by });
  }

  #step(call: string, change: Partial<ToolStep>): void {
    const { tools } = this.#now;
    const known = tools.find((step) => step.call === call);
    const step = { ...(known ?? { ...blankStep, call }), ...change };
    this.#patch({ tools: known ? tools.map((one) => (one === known ? step : one)) : [...tools, step] });
  }
}

/**
 * Bots of a room and the answers that they are giving. Everything that comes for the room passes through receive(), in
 * order.
 */
export class BotSession implements Bots {
  readonly list: Computed<readonly Bot[]>;
  readonly runs: Computed<readonly Run[]>;
  readonly refusal: Computed<Refusal | null>;
  readonly captions: Computed<readonly wire.Caption[]>;
  readonly #room: BotRoom;
  readonly #cell: typeof Computed;
  readonly #runs = new Map<string, RunView>();
  /** Participant -> what it is saying. */
  readonly #captions = new Map<string, wire.Caption>();
  #infos: readonly wire.BotInfo[] = [];
  #refusal: Refusal | null = null;

  constructor(room: BotRoom, cell: typeof Computed) {
    this.#room = room;
    this.#cell = cell;
    this.list = new cell<readonly Bot[]>(() => this.#list());
    this.runs = new cell<readonly Run[]>(() => [...this.#runs.values()]);
    this.refusal = new cell(() => this.#refusal);
    this.captions = new cell<readonly wire.Caption[]>(() => [...this.#captions.values()]);
    room.participants.subscribe(this.list.invalidate);
  }

  receive(envelope: wire.Envelope): void {
    const { type, data, from, thread = '' } = envelope;
    switch (type) {
      case 'joined': this.#joined(envelope as wire.Envelope<wire.Joined>); break;
      case 'thread-history': {
        const { runs, messages } = data as wire.ThreadHistory;
        this.#going(thread, runs, messages, envelope.ts);
        break;
      }
      case 'agent-started': this.#start(data as wire.AgentStarted, from, thread, Date.now()); break;
      case 'presence': {
        const { event, participant } = data as wire.Presence;
        this.list.invalidate();
        if (event === 'left') this.#caption(participant.id);
        break;
      }
      case 'caption': this.#said(data as wire.Caption); break;
      // The message takes the place of the run in the same turn: a list that shows both never has none of them, or two.
      case 'chat': this.#end((data as wire.Chat).run?.run); break;
      case 'agent-completed': this.#completed(data as wire.AgentCompleted); break;
      default: {
        const run = this.#runs.get((data as { run?: string } | undefined)?.run ?? '');
        if (run && !run.receive(envelope)) void this.#room.enter();
      }
    }
  }

  async toggle(bot: string, on: boolean): Promise<void> {
    await this.#room.request('bot-toggle', { bot, enabled: on } satisfies wire.BotToggle);
  }

  async setVoice(bot: string, on: boolean): Promise<void> {
    await this.#room.request('bot-voice', { bot, speak: on } satisfies wire.BotVoice);
  }

  async setHearing(bot: string, on: boolean): Promise<void> {
    await this.#room.request('bot-voice', { bot, hear: on } satisfies wire.BotVoice);
  }

  async ask(bot: string, prompt: string, { thread, replyTo }: AskOptions = {}): Promise<string> {
    return this.#request({ bot, prompt, replyTo }, thread);
  }

  async regenerate({ seq, run }: Pick<Message, 'seq' | 'run'>, { thread }: Pick<AskOptions, 'thread'> = {}): Promise<string> {
    return this.#request({ bot: run?.bot ?? '', regenerate: seq }, thread);
  }

  async cancel(run: string): Promise<void> {
    await this.#room.request('ai-cancel', { run } satisfies wire.AICancel, this.#place(this.#runs.get(run)?.thread));
  }

  async decide(run: string, call: string, digest: string, approve: boolean): Promise<void> {
    await this.#room.request('tool-approval', { run, call, digest, approve } satisfies wire.ToolDecision, this.#place(this.#runs.get(run)?.thread));
  }

  async #request(request: wire.AIRequest, thread?: string): Promise<string> {
    return (await this.#room.request<wire.Ack>('ai-request', request, this.#place(thread))).data?.run ?? '';
  }

  #place(thread = ''): string {
    return thread === '' ? this.#room.id : `${this.#room.id}~${thread}`;
  }

  #joined({ data, ts }: wire.Envelope<wire.Joined>): void {
    const { bots, runs, history } = data as wire.Joined;
    this.#infos = bots;
    this.list.invalidate();
    // The end of what was being said may have been missed.
    this.#captions.clear();
    this.captions.invalidate();
    this.#going('', runs, history, ts);
  }

  /** What goes on in a timeline now: what is not named any more has ended, and its message is in the history. */
  #going(thread: string, runs: readonly wire.RunState[], history: readonly wire.Envelope[], now = Date.now()): void {
    const named = new Set(runs.map(({ start }) => start.run));
    for (const run of [...this.#runs.values()]) if (run.thread === thread && !named.has(run.id)) this.#end(run.id);
    for (const state of runs) {
      const { run } = state.start;
      // Between a message and the end of its run.
      const told = history.some(({ data }) => (data as Partial<wire.Chat> | undefined)?.run?.run === run);
      if (told || this.#room.chat.log.value.some((message) => message.run?.run === run)) continue;
      this.#start(state.start, state.from, thread, Date.now() - Math.max(now - state.started, 0));
      this.#runs.get(run)?.reset(state);
    }
  }

  #start(start: wire.AgentStarted, from: string | undefined, thread: string, at: number): void {
    if (this.#runs.has(start.run)) return;
    const info = this.#infos.find(({ bot }) => bot === start.bot);
    const view = this.#room.participants.value.find(({ id }) => id === from);
    const author: wire.Author = { user: view?.user ?? info?.user ?? '', name: view?.name.value ?? info?.name ?? start.bot, kind: 'bot' };
    this.#runs.set(start.run, new RunView(start, author, thread, at, this.#cell));
    this.runs.invalidate();
  }

  #completed({ run, error, message }: wire.AgentCompleted): void {
    const view = this.#runs.get(run);
    if (view && error && !message) {
      this.#refusal = { run: view, code: error.code, message: error.message, retryAfterMs: error.retryAfterMs ?? 0 };
      this.refusal.invalidate();
    }
    this.#end(run);
  }

  /** A bot's sentences are told as they are said, and when they have been; what a person says is told when it has been. */
  #said(caption: wire.Caption): void {
    const { participant, text, final, run } = caption;
    this.#caption(participant, final && run ? undefined : caption);
    if (final && !run) {
      setTimeout(() => {
        if (this.#captions.get(participant) === caption) this.#caption(participant);
      }, readingMs(text));
    }
  }

  #caption(participant: string, caption?: wire.Caption): void {
    if (caption) this.#captions.set(participant, caption);
    else if (!this.#captions.delete(participant)) return;
    this.captions.invalidate();
  }

  #end(run = ''): void {
    if (this.#runs.delete(run)) this.runs.invalidate();
  }

  #list(): Bot[] {
    const present = new Set(this.#room.participants.value.map(({ user }) => user));
    return this.#infos.map((info) => ({ ...info, enabled: present.has(info.user) }));
  }
}
