/**
 * What a service binding may name as its entrypoint: a class that is exported. Names that are none are
 * the platform's own: the edge has doors under them to a Worker's Durable Objects and to its events,
 * which no Worker's binding leads to.
 */
export const CLASS_NAME: RegExp = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;
