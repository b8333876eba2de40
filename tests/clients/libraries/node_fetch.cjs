// Views the page three times with Node's fetch (undici) and the jar of fetch-cookie (tough-cookie),
// and prints the counts.
const { default: fetchCookie } = require("fetch-cookie");

(async () => {
  const fetchWithJar = fetchCookie(fetch);
  for (let view = 0; view < 3; view++) {
    const response = await fetchWithJar(process.argv[2], { headers: { accept: "application/json" } });
    console.log((await response.json()).views);
  }
})();
