import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { log } from '../../../src/manager/log.ts';
import { FORBIDDEN, hostileText } from '../../fakes/hostile-text.ts';

describe('the log of the manager', () => {
  it('is one line of JSON for each entry, in which no text of a guest controls a terminal', () => {
    fc.assert(
      fc.property(hostileText, (text) => {
        const lines: string[] = [];
        const spy = vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
          lines.push(String(chunk));
          return true;
        });
        try {
          log('error', text, { [text]: text });
        } finally {
          spy.mockRestore();
        }
        const [line = ''] = lines;
        expect(line).not.toMatch(FORBIDDEN);
        expect(line.split('\n')).toHaveLength(2);
        expect(JSON.parse(line)).toMatchObject({ message: text });
      }),
      { numRuns: 300 },
    );
  });
});
