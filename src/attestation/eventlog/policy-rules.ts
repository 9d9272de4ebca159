import { z } from 'zod';
import { EVENT_QUIRKS } from './data.ts';

/** Policy member for logs of TPMs and of TDX guests. */
export const EventQuirks = z.array(z.enum(EVENT_QUIRKS)).max(EVENT_QUIRKS.length).default([]);
