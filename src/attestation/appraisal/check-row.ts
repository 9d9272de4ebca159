/** Steps of the chain of trust, from bytes to decision. */
export type CheckStep =
  | 'parse'
  | 'chain'
  | 'report'
  | 'collateral'
  | 'binding'
  | 'launch'
  | 'policy'
  | 'vtpm'
  | 'dice';

export interface CheckRow {
  readonly step: CheckStep;
  /** A required check must pass. If it is not reached, the evidence is rejected too. */
  readonly required: boolean;
  /** Meaning of the check, if it passes. */
  readonly doc: string;
}

export const must = (step: CheckStep, doc: string): CheckRow => ({ step, required: true, doc });
export const may = (step: CheckStep, doc: string): CheckRow => ({ step, required: false, doc });
