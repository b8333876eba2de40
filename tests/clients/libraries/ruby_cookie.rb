# Views the page three times with Net::HTTP and the jar of http-cookie, and prints the counts.
require "http-cookie"
require "json"
require "net/http"

uri = URI(ARGV[0])
jar = HTTP::CookieJar.new
Net::HTTP.start(uri.host, uri.port, use_ssl: uri.scheme == "https") do |http|
  3.times do
    cookies = HTTP::Cookie.cookie_value(jar.cookies(uri))
    headers = { "Accept" => "application/json" }
    headers["Cookie"] = cookies unless cookies.empty?
    response = http.get(uri, headers)
    (response.get_fields("Set-Cookie") || []).each { |it| jar.parse(it, uri) }
    puts JSON.parse(response.body)["views"]
  end
end
