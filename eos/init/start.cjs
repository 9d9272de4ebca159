// First script of the guest's node: starts the agent from V8's compiled form of it, which lies beside it on the
// verified root. One that does not fit this node is ignored.
const { existsSync, readFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { Script } = require('node:vm');
const { pathToFileURL } = require('node:url');

const FILE = '/usr/lib/cocos/agent.js';
const CACHE = '/usr/lib/cocos/agent.cache';
// The bundle is ASCII, and text of one byte for each character is what V8 holds at the least cost.
const script = new Script(readFileSync(FILE, 'latin1'), {
  filename: FILE,
  cachedData: existsSync(CACHE) ? readFileSync(CACHE) : undefined,
});
if (script.cachedDataRejected) console.log('COCOS-NOTICE the compiled form of the agent does not fit');
script.runInThisContext()(createRequire(FILE), pathToFileURL(FILE).href);
