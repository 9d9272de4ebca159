/** Version of the project; the guest image carries it in its claims and its reference values. */
export const VERSION = '0.1.0';
