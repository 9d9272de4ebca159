/** Transitions that no run of the real programs in process mode can be brought to take, and why. */
export const LEFT_OUT: readonly {
  readonly machine: string;
  readonly match: RegExp;
  readonly reason: string;
}[] = [
  {
    machine: 'enclave',
    match: /^requested: enclave\.stop /,
    reason: 'nobody can reach the enclave between its request and its preparation, which are one turn',
  },
];
