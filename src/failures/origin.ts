export const originFailures = {} as const;
