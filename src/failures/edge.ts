export const edgeFailures = {} as const;
