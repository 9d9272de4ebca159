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
  /** A required check must pass: when it is not reached, the evidence is rejected all the same. */
  readonly required: boolean;
  /** What passing means. */
  readonly doc: string;
}

export const must = (step: CheckStep, doc: string): CheckRow => ({ step, required: true, doc });
export const may = (step: CheckStep, doc: string): CheckRow => ({ step, required: false, doc });
