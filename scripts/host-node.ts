/**
 * The host's own node. npm puts the guest's node (a package with a `node` program) before it on PATH, so the
 * running one may be either; programs are started by the host's, and its digest is in the reference values.
 */
export const HOST_NODE = process.env['npm_node_execpath'] ?? process.execPath;
