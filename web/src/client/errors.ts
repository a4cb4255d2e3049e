import type { ClientErrorLike, ErrorCode } from './types';
import type { WireError } from './wire';

/** What a person can do about it. Codes without an entry need no hint. */
const hints: Partial<Record<ErrorCode, string>> = {
  network: 'Check the network connection.',
  unauthorized: 'Sign in again.',
  forbidden: 'Ask a moderator.',
  replaced: 'This session goes on in another window.',
  'room-full': 'Try again when someone has left.',
  'room-locked': 'Ask someone inside to let you in.',
  'too-large': 'Send a shorter message.',
  'device-denied': 'Allow the device in the address bar and in the system settings.',
  'device-missing': 'Connect a device, or choose another.',
  'device-busy': 'Close the program that uses the device.',
  unsupported: 'Use a current browser, over https.',
};

const retryables: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'network', 'timeout', 'unavailable', 'rate-limited', 'not-joined', 'device-busy', 'share-cancelled',
]);

/** See ClientErrorLike for the meaning of the fields. */
export class ClientError extends Error implements ClientErrorLike {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  readonly hint?: string;

  constructor(code: ErrorCode, message: string = code, more: { retryable?: boolean; retryAfterMs?: number; cause?: unknown } = {}) {
    super(message, { cause: more.cause });
    this.name = 'ClientError';
    this.code = code;
    this.retryable = more.retryable ?? retryables.has(code);
    this.retryAfterMs = more.retryAfterMs;
    this.hint = hints[code];
  }

  static fromWire(e: WireError | undefined): ClientError {
    return new ClientError(e?.code ?? 'internal', e?.message ?? 'the server refused', {
      retryable: e?.retryable, retryAfterMs: e?.retryAfterMs,
    });
  }

  /** Any thrown value, as one of ours. */
  static from(e: unknown, code: ErrorCode = 'internal'): ClientError {
    return e instanceof ClientError ? e : new ClientError(code, e instanceof Error ? e.message : String(e), { cause: e });
  }

  /**
   * What getUserMedia and getDisplayMedia reject with (W3C mediacapture-main 10.2, screen-capture 5.1).
   */
  static fromDevice(e: unknown, screen = false): ClientError {
    const name = e instanceof Error ? e.name : '';
    const message = e instanceof Error ? e.message : String(e);
    let code: ErrorCode = 'unsupported';
    if (name === 'NotAllowedError' || name === 'SecurityError' || name === 'InvalidStateError') {
      // Chrome says "Permission denied by system" when the operating system, not the person, refused.
      code = screen && !/system|policy/i.test(message) ? 'share-cancelled' : 'device-denied';
    } else if (name === 'NotFoundError' || name === 'OverconstrainedError') code = 'device-missing';
    else if (name === 'NotReadableError' || name === 'AbortError') code = 'device-busy';
    return new ClientError(code, message || code, { cause: e });
  }
}
