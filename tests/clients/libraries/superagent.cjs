// Views the page three times with an agent of superagent, and prints the counts.
(async () => {
  const agent = require("superagent").agent();
  for (let view = 0; view < 3; view++) {
    const response = await agent.get(process.argv[2]).accept("json");
    console.log(response.body.views);
  }
})();
