import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

/** The import law: who may import whom. A folder that is not listed here is a mistake. */

const SRC = path.resolve(import.meta.dirname, '../src');

const GROUND = ['errors', 'schema-problems', 'version', 'runtime', 'machines'];
const PROGRAM = [...GROUND, 'crypto', 'protocol', 'attestation', 'archive', 'link', 'rpc'];

const LAW: Readonly<
  Record<string, { readonly own: readonly string[]; readonly packages: readonly RegExp[] }>
> = {
  errors: { own: [], packages: [] },
  'schema-problems': { own: [], packages: [/^zod$/] },
  version: { own: [], packages: [] },
  runtime: {
    own: ['errors', 'version', 'machines'],
    packages: [/^xstate$/, /^zod$/, /^node:(fs|util|v8|worker_threads)$/],
  },
  machines: { own: ['errors'], packages: [/^xstate$/, /^zod$/] },
  crypto: { own: ['errors'], packages: [/^@noble\//, /^node:crypto$/, /^zod$/] },
  protocol: { own: ['errors', 'crypto'], packages: [/^@noble\//, /^node:crypto$/, /^zod$/] },
  attestation: {
    own: ['errors', 'schema-problems', 'crypto/crypto-port'],
    packages: [/^zod$/, /^cborg/, /^@noble\/hashes\/utils/],
  },
  'attestation/emulated': {
    own: ['errors', 'attestation', 'crypto'],
    packages: [/^zod$/, /^node:crypto$/, /^node:util$/],
  },
  archive: { own: ['errors'], packages: [/^tar-stream$/, /^node:/] },
  link: { own: GROUND, packages: [/^xstate$/, /^zod$/, /^msgpackr$/, /^node:/] },
  rpc: {
    own: [...GROUND, 'crypto', 'protocol', 'link'],
    packages: [/^zod$/, /^@grpc\/grpc-js$/, /^node:/, /^@bufbuild\/protobuf/],
  },
  manager: {
    own: [...PROGRAM, 'attestation/emulated'],
    packages: [/^xstate$/, /^zod$/, /^@grpc\/grpc-js$/, /^lmdb$/, /^node:/],
  },
  agent: { own: PROGRAM, packages: [/^xstate$/, /^zod$/, /^@grpc\/grpc-js$/, /^node:/] },
  cli: { own: PROGRAM, packages: [/^xstate$/, /^zod$/, /^@grpc\/grpc-js$/, /^node:/, /^commander$/] },
};

interface SourceFile {
  /** Path under src/ without its ending. */
  readonly name: string;
  /** Without comments. */
  readonly code: string;
  /** Imports of types alone are included. */
  readonly imports: readonly string[];
}

const files: readonly SourceFile[] = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.startsWith(path.join('rpc', 'gen')))
  .map((file) => {
    const text = readFileSync(path.join(SRC, file), 'utf8');
    const statements = [
      ...text.matchAll(/^(?:import|export)\s+(?:[^;']*?\sfrom\s+)?'([^']+)';|\bimport\('([^']+)'\)/gm),
    ];
    const resolve = (specifier: string) =>
      specifier.startsWith('.') ? path.join(path.dirname(file), specifier).replace(/\.ts$/, '') : specifier;
    return {
      name: file.replace(/\.ts$/, ''),
      code: text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, ''),
      imports: statements.map((match) => resolve(match[1] ?? match[2] ?? '')),
    };
  });

function areaOf(name: string): string {
  if (name.startsWith('attestation/emulated/')) return 'attestation/emulated';
  return name.split('/')[0] ?? name;
}

function isOwn(imported: string): boolean {
  return files.some((file) => file.name === imported) || imported.startsWith('rpc/gen/');
}

function mayImport(area: string, imported: string): boolean {
  const law = LAW[area];
  if (law === undefined) return false;
  if (!isOwn(imported)) return law.packages.some((pattern) => pattern.test(imported));
  return areaOf(imported) === area || [imported, areaOf(imported)].some((target) => law.own.includes(target));
}

describe('imports', () => {
  it('are read from the whole of src', () => {
    expect(files.length).toBeGreaterThan(100);
    expect(files.flatMap((file) => file.imports).length).toBeGreaterThan(400);
  });

  it('follow the law of their folder', () => {
    const broken = files.flatMap(({ name, imports }) =>
      imports
        .filter((imported) => !mayImport(areaOf(name), imported))
        .map((imported) => `${name} → ${imported}`),
    );
    expect(broken).toEqual([]);
  });

  it('make no cycle, imports of types included', () => {
    const graph = new Map(files.map(({ name, imports }) => [name, imports.filter(isOwn)]));
    const done = new Set<string>();
    const visit = (name: string, trail: readonly string[]): string[] | null => {
      if (trail.includes(name)) return [...trail.slice(trail.indexOf(name)), name];
      if (done.has(name)) return null;
      for (const next of graph.get(name) ?? []) {
        const cycle = visit(next, [...trail, name]);
        if (cycle !== null) return cycle;
      }
      done.add(name);
      return null;
    };
    for (const name of graph.keys()) expect(visit(name, [])).toBeNull();
  });
});

describe('the parts of the agent', () => {
  const parts = files.filter(({ name }) => name.startsWith('agent/') && name !== 'agent/agent');

  it('meet at ports: only the main program imports the object that owns them', () => {
    const importers = parts.filter(({ imports }) => imports.includes('agent/agent'));
    expect(importers.map(({ name }) => name)).toEqual(['agent/main']);
  });

  it('do not name the type of that object', () => {
    const users = parts.filter(({ code }) => /\bAgent\b/.test(code.replace(/'[^'\n]*'/g, '')));
    expect(users.map(({ name }) => name)).toEqual(['agent/main']);
  });
});

describe('sources', () => {
  it('read the environment in main and config files alone', () => {
    const readers = files.filter(({ code }) => code.includes('process.env')).map(({ name }) => name);
    const allowed = readers.filter((name) => /\/(main|config|find-program|accelerator)$/.test(name));
    expect(readers).toEqual(allowed);
  });

  it('write to the terminal of a user through its one writer', () => {
    const writers = files
      .filter(({ name }) => name.startsWith('cli/'))
      .filter(({ code }) =>
        /\bprocess\.std(out|err)\b|\bconsole\.\w+\(|\bwriteSync\b|\/dev\/(tty|std)/.test(code),
      )
      .map(({ name }) => name);
    expect(writers).toEqual(['cli/output']);
  });

  it('hold no clock, randomness or I/O in the machines', () => {
    const impure = files
      .filter(({ name }) => name.startsWith('machines/'))
      .filter(({ code }) => /\bDate\b|Math\.random|\bprocess\.|\bconsole\.|setTimeout|\bfetch\(/.test(code))
      .map(({ name }) => name);
    expect(impure).toEqual([]);
  });

  it('arm no delayed transition, since those do not survive a restart', () => {
    const delayed = files.filter(
      ({ name, code }) => name.startsWith('machines/') && /\bafter\s*:/.test(code),
    );
    expect(delayed.map(({ name }) => name)).toEqual([]);
  });
});

describe('tests', () => {
  it('set no time limit of their own: a busy machine takes its time', () => {
    const limited = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.test.ts') && name !== 'arch.test.ts')
      .filter((name) =>
        /\bvi\.waitFor\(|^ {0,4}(\}, )?\d[\d_]{3,}(,|\);)$/m.test(
          readFileSync(path.join(import.meta.dirname, name), 'utf8'),
        ),
      );
    expect(limited).toEqual([]);
  });
});
