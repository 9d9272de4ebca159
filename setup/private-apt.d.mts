interface PrivateApt {
  update(): void;
  versions(name: string): { name: string; version: string; sha256: string; size: number; depends: string }[];
  download(name: string, version: string, target: string): void;
  needs(name: string): string[];
  downloadAll(names: readonly string[], folder: string): string[];
}

export function openPrivateApt(
  folder: string,
  group: { readonly suites: readonly string[]; readonly security: readonly string[] },
): PrivateApt;
