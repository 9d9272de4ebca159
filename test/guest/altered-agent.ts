import '../../src/agent/main.ts';

/** Stands for an agent that somebody changed: it does what the agent does, and is not the same program. */
console.log('COCOS-NOTICE this agent was changed');
