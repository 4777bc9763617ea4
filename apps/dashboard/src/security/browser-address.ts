/** Under this name our server tells pages and routes where a request came from, and they tell the API. */
export const browserAddressHeader = "x-minimcp-browser-address";
