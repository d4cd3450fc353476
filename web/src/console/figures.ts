// The figures that the server tells every second, as internal/showcase/console publishes them, and what follows from two of them.

/** All nodes at one time. */
export interface Figures {
  time: number;
  nodes: Node[];
  /** Which nodes did not answer. */
  missing?: string;
  sum: Sum;
}

export interface Node {
  name: string;
  began: number;
  goroutines: number;
  memory: number;
  connections: number;
  sessions: number;
  subscriptions: number;
  topics: number;
  queued: number;
  queuedBytes: number;
  historyBytes: number;
  errors: number;
  rules: Rule[];
  slow: Slow[];
}

export interface Slow {
  session: string;
  user: string;
  topics: number;
  queued: number;
}

const counters = ['published', 'delivered', 'dropped', 'superseded', 'gaps', 'slow'] as const;
export type Counter = (typeof counters)[number];
export type Rule = { pattern: string } & Record<Counter, number>;

/** A point of the charts. */
export interface Sum {
  time: number;
  connections: number;
  sessions: number;
  queued: number;
  published: number;
  delivered: number;
  dropped: number;
  superseded: number;
}

/** A rule over all nodes, with how much of each happens a second. */
export interface RuleRates {
  pattern: string;
  total: Record<Counter, number>;
  rate: Record<Counter, number>;
}

const none = (): Record<Counter, number> => ({ published: 0, delivered: 0, dropped: 0, superseded: 0, gaps: 0, slow: 0 });

/** What happened between two figures. A node that was started again in between counts from its start on. */
export function ruleRates(now: Figures, before: Figures | undefined): RuleRates[] {
  const all = new Map<string, RuleRates>();
  const seconds = before ? (now.time - before.time) / 1000 : 0;
  for (const node of now.nodes) {
    const was = before?.nodes.find(({ name, began }) => name === node.name && began === node.began);
    for (const rule of node.rules) {
      const { pattern } = rule;
      const sum = all.get(pattern) ?? { pattern, total: none(), rate: none() };
      all.set(pattern, sum);
      const earlier = was?.rules.find((other) => other.pattern === pattern);
      for (const counter of counters) {
        sum.total[counter] += rule[counter];
        if (was && seconds > 0) sum.rate[counter] += Math.max(0, rule[counter] - (earlier?.[counter] ?? 0)) / seconds;
      }
    }
  }
  return [...all.values()].sort((a, b) => (a.pattern < b.pattern ? -1 : 1));
}
