/** Status of a TCB level (Intel PCS v4, TCB info and enclave identity), from best to worst. */
export const TCB_STATUSES = [
  'UpToDate',
  'SWHardeningNeeded',
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
  'RelaunchAdvised',
  'RelaunchAdvisedConfigurationNeeded',
  'OutOfDate',
  'OutOfDateConfigurationNeeded',
  'Revoked',
] as const;

export type TcbStatus = (typeof TCB_STATUSES)[number];

/** The worse of two statuses. "Configuration needed" and "out of date" combine to a status that means both. */
export function worseStatus(a: TcbStatus, b: TcbStatus): TcbStatus {
  const [better, worse] = [a, b].toSorted((x, y) => TCB_STATUSES.indexOf(x) - TCB_STATUSES.indexOf(y));
  const configuration = better === 'ConfigurationNeeded' || better === 'ConfigurationAndSWHardeningNeeded';
  if (configuration && worse === 'OutOfDate') return 'OutOfDateConfigurationNeeded';
  if (configuration && worse === 'RelaunchAdvised') return 'RelaunchAdvisedConfigurationNeeded';
  if (better === 'SWHardeningNeeded' && worse === 'ConfigurationNeeded')
    return 'ConfigurationAndSWHardeningNeeded';
  return worse ?? a;
}
