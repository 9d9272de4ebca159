import { z } from 'zod';
import { CocosError } from '../../errors.ts';
import { InstantText } from '../encoding/byte-schemas.ts';
import { instantMs } from '../x509/time.ts';
import { parseSignedBody } from './signed-json.ts';
import { TCB_STATUSES } from './tcb-status.ts';

/** TCB information of a TDX platform and the identity of its quoting enclave (Intel PCS v4). */

/** Hex in either case, as Intel writes both; lower case from here on. */
const hex = (bytes: number) =>
  z
    .string()
    .regex(new RegExp(`^[0-9a-fA-F]{${bytes * 2}}$`))
    .transform((text) => text.toLowerCase());
const Instant = InstantText.transform(instantMs);

interface Component {
  readonly svn: number;
}

function isComponent(value: unknown): value is Component {
  if (typeof value !== 'object' || value === null || !('svn' in value)) return false;
  const { svn } = value;
  return typeof svn === 'number' && Number.isInteger(svn) && svn >= 0 && svn <= 0xff;
}

/** There are hundreds of these in one file: one check for each list keeps the schema out of the way. */
const Components = z.custom<readonly Component[]>(
  (value) => Array.isArray(value) && value.length === 16 && value.every(isComponent),
  'must be 16 components with their svn',
);
const Status = z.enum(TCB_STATUSES);
const Advisories = z.array(z.string().max(64)).max(256).default([]);

const EnclaveLevel = z.object({
  tcb: z.object({ isvsvn: z.int().min(0).max(0xffff) }),
  tcbDate: Instant,
  tcbStatus: Status,
  advisoryIDs: Advisories,
});
export type EnclaveLevel = z.infer<typeof EnclaveLevel>;

const ModuleIdentity = z.object({
  id: z.string().max(32),
  mrsigner: hex(48),
  attributes: hex(8),
  attributesMask: hex(8),
  tcbLevels: z.array(EnclaveLevel).min(1).max(256),
});
export type ModuleIdentity = z.infer<typeof ModuleIdentity>;

const PlatformLevel = z.object({
  tcb: z.object({
    sgxtcbcomponents: Components,
    pcesvn: z.int().min(0).max(0xffff),
    tdxtcbcomponents: Components,
  }),
  tcbDate: Instant,
  tcbStatus: Status,
  advisoryIDs: Advisories,
});
export type PlatformLevel = z.infer<typeof PlatformLevel>;

// Intel may add members to signed objects, so unknown ones are ignored here, unlike in a policy.
const TcbInfo = z.object({
  id: z.literal('TDX'),
  version: z.literal(3),
  issueDate: Instant,
  nextUpdate: Instant,
  fmspc: hex(6),
  pceId: hex(2),
  tcbEvaluationDataNumber: z.int().min(0),
  tdxModule: z.object({ mrsigner: hex(48), attributes: hex(8), attributesMask: hex(8) }),
  tdxModuleIdentities: z.array(ModuleIdentity).max(64).default([]),
  tcbLevels: z.array(PlatformLevel).min(1).max(256),
});
export type TcbInfo = z.infer<typeof TcbInfo>;

const QeIdentity = z.object({
  id: z.literal('TD_QE'),
  version: z.literal(2),
  issueDate: Instant,
  nextUpdate: Instant,
  tcbEvaluationDataNumber: z.int().min(0),
  miscselect: hex(4),
  miscselectMask: hex(4),
  attributes: hex(16),
  attributesMask: hex(16),
  mrsigner: hex(32),
  isvprodid: z.int().min(0).max(0xffff),
  tcbLevels: z.array(EnclaveLevel).min(1).max(256),
});
export type QeIdentity = z.infer<typeof QeIdentity>;

function parse<S extends z.ZodType>(schema: S, body: Uint8Array, what: string): z.infer<S> {
  const result = schema.safeParse(parseSignedBody(body));
  if (result.success) return result.data;
  const paths = result.error.issues.map((issue) => issue.path.join('.') || '(top)');
  throw new CocosError('EVIDENCE_INVALID', `${what} does not have the documented format`, {
    cause: result.error,
    details: { paths: [...new Set(paths)].slice(0, 8) },
  });
}

/** TCB information from its signed bytes. @throws CocosError EVIDENCE_INVALID */
export function parseTcbInfo(body: Uint8Array): TcbInfo {
  return parse(TcbInfo, body, 'TCB information');
}

/** Identity of the TD quoting enclave from its signed bytes. @throws CocosError EVIDENCE_INVALID */
export function parseQeIdentity(body: Uint8Array): QeIdentity {
  return parse(QeIdentity, body, 'QE identity');
}

/** The members of an item, as far as it can be read at all. */
export type Members = Readonly<Record<string, unknown>>;

/** What an item says about itself, although it may not have the documented format. */
export function membersOf({ body }: { readonly body: Uint8Array }): Members {
  try {
    const json = parseSignedBody(body);
    return typeof json === 'object' && json !== null ? { ...json } : {};
  } catch {
    return {};
  }
}

const isAnother = (value: unknown, own: string): boolean =>
  typeof value === 'string' && value.toLowerCase() !== own.toLowerCase();

/** Items without an id are of the first two versions, which know SGX only. */
const isOfSgx = ({ id, version }: Members): boolean => id === undefined && (version === 1 || version === 2);

/** Whether TCB information in an unknown format says that it is about another platform. */
export const isOtherTcbInfo = (members: Members, fmspc: string, pceId: string): boolean =>
  isOfSgx(members) ||
  isAnother(members['id'], 'TDX') ||
  isAnother(members['fmspc'], fmspc) ||
  isAnother(members['pceId'], pceId);

/** Whether an identity in an unknown format says that it is another enclave's. */
export const isOtherQeIdentity = (members: Members): boolean =>
  isOfSgx(members) || isAnother(members['id'], 'TD_QE');
