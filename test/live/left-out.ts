/** Transitions that no run of the real programs in process mode can be brought to take, and why. */
export const LEFT_OUT: readonly {
  readonly machine: string;
  readonly match: RegExp;
  readonly reason: string;
}[] = [
  {
    machine: '',
    match: /: xstate\.error\.actor\./,
    reason: 'a fault of the program: what throws inside an effect is reported by an event of its own',
  },
  {
    machine: 'enclave',
    match: /: (boot\.progressed|boot\.failed|vm\.panicked) /,
    reason: 'only virtual machines boot; taken on the real one',
  },
  {
    machine: 'enclave',
    match: /^requested: enclave\.stop /,
    reason: 'nobody can reach the enclave between its request and its preparation, which are one turn',
  },
  {
    machine: 'enclave',
    match: /^(preparing|alive\.launching): (enclave\.stop|deadline\.reached|vm\.exited) /,
    reason: 'takes a disk or a host that stalls for a minute or more, or a stop within milliseconds',
  },
  {
    machine: 'enclave',
    match: /^alive\.stopping: (enclave\.broken|deadline\.reached) /,
    reason: 'takes a process that SIGKILL does not end',
  },
  {
    machine: 'enclave',
    match: /^alive\.(booting|connected): deadline\.reached /,
    reason: 'takes two minutes of waiting; the clock is a parameter of the charts, not of the programs',
  },
  {
    machine: 'enclave',
    match: /^alive\.(connected|ready): vm\.exited /,
    reason: 'the link of a process that dies ends before the process is found to have ended',
  },
  {
    machine: 'computation',
    match: /^running: deadline\.reached /,
    reason: 'the sandbox ends a run at its limit; the deadline is for a sandbox that does not',
  },
  {
    machine: 'computation',
    match: /^sealingResults: run\.failed /,
    reason:
      'takes a disk that fills while the result is sealed; the sandbox holds the limits of the result before',
  },
  {
    machine: 'transfer',
    match: /^(receiving|checking): transfer\.refused /,
    reason: 'takes a sender that seals other bytes than it declared; the unit tests of the agent have one',
  },
  {
    machine: 'attestation',
    match: /^collecting: evidence\.failed /,
    reason: 'takes a platform that gives no report, and the emulated one always does',
  },
  {
    machine: 'service',
    match: /(: service\.(start|stop) |^closing: stream\.closed )/,
    reason: 'happens before the control API opens or after it has closed',
  },
  {
    machine: 'manager',
    match: /^(starting: |stopped\.closing: |stopping: manager\.broken )/,
    reason: 'happens before the control API opens or after it has closed',
  },
  {
    machine: 'manager',
    match: /: (child\.|xstate\.error\.\* )/,
    reason: 'a fault of the program; the tests of the supervisor have one',
  },
  {
    machine: 'transfer',
    match: /: deadline\.reached /,
    reason: 'takes ten minutes of waiting',
  },
  {
    machine: 'attestation',
    match: /: deadline\.reached /,
    reason: 'takes a minute and more of waiting',
  },
];
