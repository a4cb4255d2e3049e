import type { ClientErrorLike, ErrorCode } from './types';
import type { WireError } from './wire';

/** What a person can do about it, where it is not plain from what they did. */
const hints: Partial<Record<ErrorCode, string>> = {
  'device-denied': 'Allow the device in browser and system.',
  'device-missing': 'Choose another device.',
  'device-busy': 'Close what uses the device.',
  unsupported: 'Use a current browser, over https.',
};

/** W3C mediacapture-main 10.2, screen-capture 5.1. */
const deviceErrors: Readonly<Record<string, ErrorCode>> = {
  NotAllowedError: 'device-denied', InvalidStateError: 'device-denied',
  NotFoundError: 'device-missing', OverconstrainedError: 'device-missing',
  NotReadableError: 'device-busy', AbortError: 'device-busy',
};

/** What passes by itself: the same request is sent again with the same id. */
export const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'network', 'timeout', 'unavailable', 'rate-limited', 'not-joined',
]);

interface ErrorDetails { retryable?: boolean; retryAfterMs?: number; cause?: unknown }

/** See ClientErrorLike for the meaning of the fields. */
export class ClientError extends Error implements ClientErrorLike {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  readonly hint?: string;

  constructor(code: ErrorCode, message: string = code, more: ErrorDetails = {}) {
    super(message, { cause: more.cause });
    this.name = 'ClientError';
    this.code = code;
    this.retryable = more.retryable ?? passing.has(code);
    this.retryAfterMs = more.retryAfterMs;
    this.hint = hints[code];
  }

  static fromWire(e: WireError): ClientError {
    return new ClientError(e.code, e.message, e);
  }

  /** Any thrown value, as one of ours. */
  static from(e: unknown, code: ErrorCode = 'internal'): ClientError {
    return e instanceof ClientError ? e : new ClientError(code, e instanceof Error ? e.message : String(e), { cause: e });
  }

  /** What getUserMedia and getDisplayMedia reject with. */
  static fromDevice(e: unknown, screen = false): ClientError {
    const { name, message } = e instanceof Error ? e : new Error(String(e));
    let code = deviceErrors[name] ?? 'unsupported';
    // Chrome says "Permission denied by system" when the operating system, not the person, refused.
    if (screen && code === 'device-denied' && !/system|policy/i.test(message)) code = 'share-cancelled';
    return e instanceof ClientError ? e : new ClientError(code, message, {
      retryable: code === 'device-busy' || code === 'share-cancelled', cause: e,
    });
  }
}
