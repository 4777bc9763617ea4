/** Under this name the server tells pages and routes where a request came from. */
export const browserAddressHeader = "x-minimcp-browser-address";
