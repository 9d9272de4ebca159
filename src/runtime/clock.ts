/**
 * The two times of a process. All times are whole milliseconds since 1970, so that both can be printed.
 *
 * Certificates, revocation lists and what people write down are judged by the wall clock, which may be set. Deadlines,
 * and everything that is compared with another time of this process, go by the clock that nobody can set.
 */
export interface Clock {
  /** The system's time as it is set now; may jump in either direction. */
  wall(): number;
  /** Starts at the wall clock's time when the process starts, and never goes backwards. */
  monotonic(): number;
}

export const systemClock: Clock = {
  wall: () => Date.now(),
  monotonic: () => Math.floor(performance.timeOrigin + performance.now()),
};
