export const NPM_FOLDERS: { readonly project: string; readonly guestNode: string; readonly apiDocs: string };

export function ensureNodeModules(options: { folder: string; log?: (line: string) => void }): {
  installed: boolean;
};
