/**
 * The two times of a process. All times are whole milliseconds since 1970, so that both can be printed.
 *
 * The wall clock, which can be adjusted, judges certificates, revocation lists and times that people enter. Deadlines,
 * and all times that are compared with another time of this process, use the monotonic clock.
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
