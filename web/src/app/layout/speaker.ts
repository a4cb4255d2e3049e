/** Who counts as speaking, over time: levels flicker, people's turns do not. */

/** Speech this long makes a speaker; a cough does not. */
export const startAfter = 1_000;
/** A pause this long ends the ring around a tile. */
export const ringAfter = 700;
/** Silence this long ends the turn. */
export const endAfter = 60_000;

interface Turn {
  /** When this stretch of speech began. */
  since: number;
  heard: number;
  speaker: boolean;
}

export class SpeakerTracker {
  readonly #turns = new Map<string, Turn>();
  #spotlight: string | null = null;

  /** Takes who is audible at `now` (milliseconds). */
  hear(audible: readonly string[], now: number): void {
    for (const id of audible) {
      const turn = this.#turns.get(id);
      if (!turn || now - turn.heard > ringAfter) {
        this.#turns.set(id, { since: now, heard: now, speaker: turn?.speaker ?? false });
      } else {
        turn.heard = now;
        turn.speaker ||= now - turn.since >= startAfter;
      }
    }
    for (const [id, turn] of this.#turns) if (now - turn.heard > endAfter) this.#turns.delete(id);
  }

  forget(id: string): void {
    this.#turns.delete(id);
    if (this.#spotlight === id) this.#spotlight = null;
  }

  /** True while sound is being heard from `id`, give or take a breath. */
  audible(id: string, now: number): boolean {
    const turn = this.#turns.get(id);
    return turn !== undefined && now - turn.heard <= ringAfter;
  }

  lastSpoke(id: string): number {
    const turn = this.#turns.get(id);
    return turn?.speaker ? turn.heard : 0;
  }

  /**
   * Whom to show large: the one who was and still talks, else whoever talks, else the last one who
   * did, else the first candidate.
   */
  spotlight(candidates: readonly string[], now: number): string | null {
    const kept = this.#spotlight;
    if (kept !== null && candidates.includes(kept) && this.audible(kept, now)) return kept;
    const talking = candidates.find((id) => this.#turns.get(id)?.speaker && this.audible(id, now));
    const next = talking ?? (kept !== null && candidates.includes(kept) ? kept : (candidates[0] ?? null));
    this.#spotlight = next;
    return next;
  }
}
