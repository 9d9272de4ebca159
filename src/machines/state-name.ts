import type { StateValue } from 'xstate';

/** `alive.booting` for `{alive: 'booting'}`; parallel regions are joined with a comma. */
export function stateName(value: StateValue): string {
  if (typeof value === 'string') return value;
  return Object.entries(value)
    .map(([key, inner]) => {
      const rest = inner === undefined ? '' : stateName(inner);
      return rest === '' ? key : `${key}.${rest}`;
    })
    .join(',');
}
