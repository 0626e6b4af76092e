// The openai package for JavaScript in its usual modes; what it got goes to stdout as one JSON object.
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const model = "scripted";
const messages = [{ role: "user", content: "hello big world" }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tool = { type: "function", function: { name: "weather", parameters } };
const got = {};

got.chat = (await client.chat.completions.create({ model, messages })).choices[0].message.content;

const pieces = [];
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
  pieces.push(chunk.choices[0]?.delta?.content ?? "");
}
got.stream = pieces.join("");
got.pieces = pieces.filter(Boolean).length > 1;

const asked = await client.chat.completions.create({ model, messages, tools: [tool] });
const call = asked.choices[0].message.tool_calls[0];
got.tool = [call.function.name, call.function.arguments];

const runner = client.chat.completions.runTools({
  model,
  messages,
  tools: [{ type: "function", function: { ...tool.function, parse: JSON.parse, function: () => "sunny" } }],
});
got.runner = await runner.finalContent();

got.completion = (await client.completions.create({ model, prompt: "once" })).choices[0].text;
got.embedding = (await client.embeddings.create({ model, input: "ab", dimensions: 2 })).data[0].embedding;
got.response = (await client.responses.create({ model, input: "hi" })).output_text;

const events = [];
for await (const event of await client.responses.create({ model, input: "hi", stream: true })) {
  events.push(event.type);
}
got.events = [events[0], events.at(-1)];

got.models = (await client.models.list()).data.map((one) => one.id);

try {
  await client.chat.completions.create({ model: "scriptad", messages });
} catch (error) {
  got.error = [error.constructor.name, error.status, error.code];
}
try {
  await new OpenAI({ apiKey: "wrong", maxRetries: 0 }).models.list();
} catch (error) {
  got.key = [error.constructor.name, error.status];
}
console.log(JSON.stringify(got));
