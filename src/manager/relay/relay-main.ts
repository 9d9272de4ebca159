import { serveRelays } from './relay-worker.ts';

/** Program of the manager's relay thread. It is small on purpose: its collector walks whatever is loaded. */
serveRelays();
