import { z } from 'zod';

/**
 * Compiles schemas to plain code for values that arrive thousands of times per second: unions of strict objects whose
 * members are literals, strings, integers, booleans or unknown. A member of the union with other properties or checks
 * falls back to its schema. Tests hold both equal.
 */

/** The parsed value, or null if the schema refuses it. */
export type Parse<T> = (value: unknown) => T | null;

type Check = (value: unknown) => boolean;

type Discriminated = z.ZodDiscriminatedUnion<readonly z.ZodObject[], string>;

/** A compiled parser if the schema is a union that can be compiled, otherwise its `safeParse`. */
export function plainParser<T extends object>(schema: z.ZodType<T>): Parse<T> {
  if (!isDiscriminated(schema)) return slowParser(schema);
  const name = schema.def.discriminator;
  const forms = new Map<unknown, Parse<T>>();
  for (const option of schema.options) {
    const discriminator = option.shape[name];
    if (!(discriminator instanceof z.ZodLiteral)) return slowParser(schema);
    const check = objectCheck(option);
    const accepts = (value: unknown): value is T => check?.(value) === true;
    const parse: Parse<T> = check === null ? slowParser(schema) : (value) => (accepts(value) ? value : null);
    for (const value of discriminator.values) forms.set(value, parse);
  }
  return (value) => {
    if (!isRecord(value)) return null;
    return forms.get(value[name])?.(value) ?? null;
  };
}

function slowParser<T>(schema: z.ZodType<T>): Parse<T> {
  return (value) => {
    const parsed = schema.safeParse(value);
    return parsed.success ? parsed.data : null;
  };
}

function isDiscriminated(schema: z.ZodType): schema is z.ZodType & Discriminated {
  return (
    schema instanceof z.ZodDiscriminatedUnion &&
    schema.options.every((option) => option instanceof z.ZodObject) &&
    hasNoChecks(schema)
  );
}

/** Null if the object is not strict or has other members than those above. */
function objectCheck(schema: z.ZodObject): Check | null {
  if (!(schema.def.catchall instanceof z.ZodNever) || !hasNoChecks(schema)) return null;
  const members = new Map<string, Check>();
  for (const [name, member] of Object.entries(schema.shape)) {
    const check = memberCheck(member);
    if (check === null) return null;
    members.set(name, check);
  }
  return (value) => {
    if (!isRecord(value)) return false;
    let count = 0;
    // What was decoded inherits nothing that can be enumerated, and `Object.keys` would allocate.
    for (const name in value) {
      if (members.get(name)?.(value[name]) !== true) return false;
      count += 1;
    }
    // All names are known, so an equal count means that none is missing.
    return count === members.size;
  };
}

function memberCheck(schema: z.core.$ZodType): Check | null {
  if (schema instanceof z.ZodUnknown) return () => true;
  if (schema instanceof z.ZodLiteral && schema.values.size === 1) {
    const [only] = schema.values;
    return (value) => value === only;
  }
  if (schema instanceof z.ZodString)
    return withChecks((value) => typeof value === 'string', schema, stringCheck);
  if (schema instanceof z.ZodNumber && schema.format === 'safeint')
    return withChecks(Number.isSafeInteger, schema, numberCheck);
  return null;
}

function withChecks(
  base: Check,
  schema: z.ZodString | z.ZodNumber,
  compile: (def: z.core.$ZodCheckDef) => Check | null,
): Check | null {
  const checks = [base];
  for (const each of schema.def.checks ?? []) {
    const check = compile(each._zod.def);
    if (check === null) return null;
    checks.push(check);
  }
  const [first, second, ...others] = checks;
  if (first === undefined || others.length > 0) return (value) => checks.every((check) => check(value));
  return second === undefined ? first : (value) => first(value) && second(value);
}

function stringCheck(def: z.core.$ZodCheckDef): Check | null {
  switch (def.check) {
    case 'max_length': {
      const { maximum } = def as z.core.$ZodCheckMaxLengthDef;
      return (value) => String(value).length <= maximum;
    }
    case 'min_length': {
      const { minimum } = def as z.core.$ZodCheckMinLengthDef;
      return (value) => String(value).length >= minimum;
    }
    case 'string_format': {
      const { format, pattern } = def as z.core.$ZodCheckStringFormatDef;
      return format === 'regex' && pattern !== undefined && !pattern.global && !pattern.sticky
        ? (value) => pattern.test(String(value))
        : null;
    }
    default:
      return null;
  }
}

function numberCheck(def: z.core.$ZodCheckDef): Check | null {
  switch (def.check) {
    case 'number_format':
      return (def as z.core.$ZodCheckNumberFormatDef).format === 'safeint' ? Number.isSafeInteger : null;
    case 'greater_than': {
      const { value: bound, inclusive } = def as z.core.$ZodCheckGreaterThanDef;
      return inclusive ? (value) => Number(value) >= Number(bound) : (value) => Number(value) > Number(bound);
    }
    case 'less_than': {
      const { value: bound, inclusive } = def as z.core.$ZodCheckLessThanDef;
      return inclusive ? (value) => Number(value) <= Number(bound) : (value) => Number(value) < Number(bound);
    }
    default:
      return null;
  }
}

function hasNoChecks(schema: z.ZodType): boolean {
  return (schema.def.checks ?? []).length === 0;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
