import type { AnyStateMachine, AnyStateNode, AnyTransitionDefinition } from 'xstate';
import { z } from 'zod';

/** Generates the page of a machine from its chart: a diagram, the states with their effects, and the events. */

export interface MachinePage {
  readonly machine: AnyStateMachine;
  /** Describes the machine in a sentence or two. */
  readonly about: string;
  readonly events: z.ZodType;
}

export function machinePage(name: string, { machine, about, events }: MachinePage): string {
  const nodes = statesOf(machine.root);
  return `# The ${name} machine

${about}

\`\`\`mermaid
stateDiagram-v2
${diagram(machine.root, '  ').join('\n')}
\`\`\`

| state | effects | transitions |
| --- | --- | --- |
${nodes.map(stateRow).join('\n')}

## Events

| event | fields |
| --- | --- |
${eventRows(events).join('\n')}
`;
}

function statesOf(node: AnyStateNode): AnyStateNode[] {
  return Object.values(node.states).flatMap((child: AnyStateNode) => [child, ...statesOf(child)]);
}

function diagram(node: AnyStateNode, indent: string): string[] {
  const lines: string[] = [];
  const initial = node.initial?.target[0];
  if (initial !== undefined) lines.push(`${indent}[*] --> ${idOf(initial)}`);
  for (const child of Object.values(node.states) as AnyStateNode[]) {
    if (Object.keys(child.states).length > 0) {
      lines.push(`${indent}state ${idOf(child)} {`, ...diagram(child, `${indent}  `), `${indent}}`);
    } else if (node.parent !== undefined) {
      lines.push(`${indent}${idOf(child)} : ${child.key}`);
    }
  }
  for (const child of Object.values(node.states) as AnyStateNode[]) {
    for (const transition of transitionsOf(child)) {
      for (const target of transition.target ?? []) {
        lines.push(`${indent}${idOf(child)} --> ${idOf(target)} : ${labelOf(transition)}`);
      }
    }
  }
  return lines;
}

function transitionsOf(node: AnyStateNode): AnyTransitionDefinition[] {
  return [...[...node.transitions.values()].flat(), ...(node.always ?? [])];
}

function labelOf(transition: AnyTransitionDefinition): string {
  const event =
    transition.eventType === '' ? 'always' : transition.eventType.replace('xstate.error.actor.', 'error of ');
  return typeof transition.guard === 'string' ? `${event} [${transition.guard}]` : event;
}

function stateRow(node: AnyStateNode): string {
  const effects = node.invoke.map(({ src }) => `\`${String(src)}\``).join(', ');
  const events = [...new Set(transitionsOf(node).map(labelOf))].map((label) => `\`${label}\``).join(', ');
  return `| \`${node.path.join('.')}\` | ${effects || '-'} | ${events || '-'} |`;
}

function idOf(node: AnyStateNode): string {
  return node.path.join('_');
}

const JsonEvents = z.object({
  oneOf: z.array(
    z.object({ properties: z.record(z.string(), z.looseObject({ const: z.string().optional() })) }),
  ),
});

function eventRows(events: z.ZodType): string[] {
  const schema = JsonEvents.parse(z.toJSONSchema(events, { unrepresentable: 'any' }));
  return schema.oneOf.map(({ properties }) => {
    const { type, ...fields } = properties;
    const names = Object.keys(fields).map((field) => `\`${field}\``);
    return `| \`${type?.const ?? ''}\` | ${names.join(', ') || '-'} |`;
  });
}
