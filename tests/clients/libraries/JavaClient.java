import java.net.CookieManager;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.regex.Pattern;

/** Views the page three times with HttpClient and CookieManager, and prints the counts. */
class JavaClient {
    public static void main(String[] arguments) throws Exception {
        var client = HttpClient.newBuilder().cookieHandler(new CookieManager()).build();
        var uri = URI.create(arguments[0]);
        var request = HttpRequest.newBuilder(uri).header("Accept", "application/json").build();
        for (int view = 0; view < 3; view++) {
            var body = client.send(request, BodyHandlers.ofString()).body();
            var views = Pattern.compile("\"views\":(\\d+)").matcher(body);
            System.out.println(views.find() ? views.group(1) : body);
        }
    }
}
