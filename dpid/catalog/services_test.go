package catalog

import (
	"net/netip"
	"testing"
)

// TestServices looks up what the services that people ask for really use, one
// row a claim.
func TestServices(t *testing.T) {
	t.Parallel()
	tests := []struct{ host, app, category string }{
		{"www.netflix.com", "netflix", "streaming"},
		{"ipv4-c001-fra001-ix.1.oca.nflxvideo.net", "netflix", "streaming"},
		{"occ-0-2433-2430.1.nflxso.net", "netflix", "streaming"},
		{"fast.com", "fast-com", "network"},
		{"rr3---sn-4g5e6nez.googlevideo.com", "youtube", "streaming"},
		{"i.ytimg.com", "youtube", "streaming"},
		{"youtubei.googleapis.com", "youtube", "streaming"},
		{"music.youtube.com", "youtube-music", "streaming"},
		{"disney.api.edge.bamgrid.com", "disney-plus", "streaming"},
		{"www.disney.com", "disney", "entertainment"},
		{"video-edge-c2a8.fra02.abs.hls.ttvnw.net", "twitch", "streaming"},
		{"d25xi40x97liuc.cloudfront.net", "prime-video", "streaming"},
		{"atv-ps-eu.amazon.de", "prime-video", "streaming"},
		{"s3-eu-west-1.amazonaws.com", "aws", "cloud"},
		{"www.amazon.co.uk", "amazon", "shopping"},
		{"aax-eu.amazon-adsystem.com", "amazon-ads", "advertising"},
		{"avs-alexa-eu.amazon.com", "alexa", "iot"},
		{"music.amazon.de", "amazon-music", "music"},
		{"spclient.wg.spotify.com", "spotify", "music"},
		{"audio-ak-spotify-com.akamaized.net", "spotify", "music"},

		{"drive.google.com", "google-drive", "storage"},
		{"docs.google.com", "google-docs", "productivity"},
		{"mail.google.com", "gmail", "email"},
		{"meet.google.com", "google-meet", "conferencing"},
		{"maps.googleapis.com", "google-maps", "transport"},
		{"www.google.com.br", "google", "search"},
		{"ssl.gstatic.com", "google-services", "system"},
		{"fonts.gstatic.com", "google-fonts", "system"},
		{"alt7-mtalk.google.com", "google-push", "system"},
		{"play.googleapis.com", "google-play", "app-store"},
		{"edgedl.me.gvt1.com", "google-update", "update"},
		{"ad.doubleclick.net", "google-ads", "advertising"},
		{"region1.google-analytics.com", "google-analytics", "analytics"},
		{"generativelanguage.googleapis.com", "gemini", "ai"},

		{"mmg.whatsapp.net", "whatsapp", "messaging"},
		{"scontent-fra5-1.cdninstagram.com", "instagram", "social"},
		{"igcdn-photos-h-a.akamaihd.net", "instagram", "social"},
		{"scontent.xx.fbcdn.net", "facebook", "social"},
		{"edge-mqtt.facebook.com", "facebook-messenger", "messaging"},
		{"www.threads.net", "threads", "social"},
		{"v16-webapp.tiktok.com", "tiktok", "social"},
		{"p16-sign-va.tiktokcdn.com", "tiktok", "social"},
		{"gateway.discord.gg", "discord", "messaging"},
		{"wss-primary.slack.com", "slack", "messaging"},
		{"chat.signal.org", "signal", "messaging"},
		{"web.telegram.org", "telegram", "messaging"},

		{"teams.microsoft.com", "microsoft-teams", "conferencing"},
		{"outlook.office365.com", "outlook", "email"},
		{"contoso-my.sharepoint.com", "sharepoint", "productivity"},
		{"onedrive.live.com", "onedrive", "storage"},
		{"login.microsoftonline.com", "microsoft-account", "system"},
		{"officeclient.microsoft.com", "microsoft-365", "productivity"},
		{"3.tlu.dl.delivery.mp.microsoft.com", "windows-update", "update"},
		{"v10.events.data.microsoft.com", "microsoft-telemetry", "analytics"},
		{"copilot.microsoft.com", "copilot", "ai"},
		{"www.microsoft.com", "microsoft", "system"},

		{"gateway.icloud.com", "icloud", "storage"},
		{"p42-buy.itunes.apple.com", "apple-app-store", "app-store"},
		{"aod.itunes.apple.com", "apple-music", "music"},
		{"1-courier.push.apple.com", "apple-push", "system"},
		{"query.ess.apple.com", "imessage", "messaging"},
		{"guzzoni.apple.com", "apple-siri", "system"},
		{"mesu.apple.com", "apple-update", "update"},
		{"mask.icloud.com", "apple-private-relay", "system"},
		{"ocsp.apple.com", "apple-pki", "certificate"},
		{"www.apple.com", "apple", "system"},

		{"cache1-fra1.steamcontent.com", "steam", "gaming"},
		{"epicgames-download1.akamaized.net", "epic-games", "gaming"},
		{"gs2.ww.prod.dl.playstation.net", "playstation", "gaming"},
		{"assets1.xboxlive.com", "xbox", "gaming"},
		{"c0.rbxcdn.com", "roblox", "gaming"},
		{"us04web.zoom.us", "zoom", "conferencing"},
		{"idbroker.webex.com", "webex", "conferencing"},

		{"e1234.dscb.akamaiedge.net", "akamai", "cdn"},
		{"d111111abcdef8.cloudfront.net", "cloudfront", "cdn"},
		{"prod.global.ssl.fastly.net", "fastly", "cdn"},
		{"mozilla.cloudflare-dns.com", "cloudflare-dns", "dns"},
		{"dns.google", "google-dns", "dns"},
		{"dns10.quad9.net", "quad9", "dns"},
		{"abcdef.dns.nextdns.io", "nextdns", "dns"},
		{"d.adguard-dns.com", "adguard-dns", "dns"},

		{"chatgpt.com", "chatgpt", "ai"},
		{"claude.ai", "claude", "ai"},
		{"www.perplexity.ai", "perplexity", "ai"},
		{"security.debian.org", "debian-update", "update"},
		{"registry.npmjs.org", "npm", "developer"},
		{"files.pythonhosted.org", "pypi", "developer"},
		{"proxy.golang.org", "go-modules", "developer"},
		{"www.paypal.com", "paypal", "finance"},
		{"r11.o.lencr.org", "lets-encrypt", "certificate"},
		{"connectivitycheck.gstatic.com", "connectivity-check", "network"},
		{"2.debian.pool.ntp.org", "ntp-pool", "network"},
		{"time.windows.com", "time-services", "network"},
	}
	c := curated(t)
	for _, tt := range tests {
		m, ok := c.Host([]byte(tt.host))
		app, category := c.App(m.App)
		if !ok || app != tt.app || category != tt.category || c.Category(m.Category) != tt.category {
			t.Errorf("Host(%s) = %q, %q by %s; want %q, %q", tt.host, app, category, c.AppendEntry(nil, m), tt.app, tt.category)
		}
	}
}

// TestNobody looks up names that nobody in the catalogue owns.
func TestNobody(t *testing.T) {
	t.Parallel()
	c := curated(t)
	for _, host := range []string{
		"com", "co.uk", "example.co.uk", "com.br", "net", "uk", "", ".", "..", "localhost", "printer.local",
		"netflix", "notnetflix.com", "netflix.com.evil.example", "netflix.co", "xnflxvideo.net",
		"www.example.com", "192.168.1.1", "_dns-sd._udp.local",
	} {
		if m, ok := c.Host([]byte(host)); ok {
			t.Errorf("Host(%q) = %s, want nothing", host, c.AppendEntry(nil, m))
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	tests := []struct{ addr, app, entry string }{
		{"8.8.8.8", "google-dns", "8.8.8.8/32"},
		{"8.8.8.9", "", ""},
		{"1.1.1.1", "cloudflare-dns", "1.1.1.1/32"},
		{"2606:4700:4700::1111", "cloudflare-dns", "2606:4700:4700::1111/128"},
		{"9.9.9.9", "quad9", "9.9.9.9/32"},
		{"2620:fe::fe", "quad9", "2620:fe::fe/128"},
		{"149.154.167.51", "telegram", "149.154.160.0/20"},
		{"149.154.159.255", "", ""},
		{"2001:67c:4e8:f004::9", "telegram", "2001:67c:4e8::/48"},
		{"45.57.127.255", "netflix", "45.57.0.0/17"},
		{"45.57.128.0", "", ""},
		{"155.133.226.71", "steam", "155.133.224.0/19"},
		{"52.113.194.132", "microsoft-teams", "52.112.0.0/14"},
		{"17.57.146.20", "apple", "17.0.0.0/8"},
		{"192.168.1.1", "", ""},
		{"0.0.0.0", "", ""},
		{"255.255.255.255", "", ""},
		{"::", "", ""},
		{"::ffff:ffff:0", "", ""},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},
	}
	c := curated(t)
	for _, tt := range tests {
		m, ok := c.Addr(netip.MustParseAddr(tt.addr).As16())
		app, _ := c.App(m.App)
		if entry := string(c.AppendEntry(nil, m)); app != tt.app || entry != tt.entry || ok != (tt.app != "") {
			t.Errorf("Addr(%s) = %q by %q, %v; want %q by %q", tt.addr, app, entry, ok, tt.app, tt.entry)
		}
	}
}

func TestJA4(t *testing.T) {
	t.Parallel()
	c := curated(t)
	const softether = "t13d880900_fcb5b95cb75a_b0d3b4ac2a14"
	m, ok := c.JA4([]byte(softether))
	if name, category := c.App(m.App); !ok || name != "softether" || category != "vpn" || string(c.AppendEntry(nil, m)) != softether {
		t.Errorf("JA4(%s) = %q, %q by %s", softether, name, category, c.AppendEntry(nil, m))
	}
	for _, s := range []string{"", "t13d880900_fcb5b95cb75a_b0d3b4ac2a15", softether + "0", softether[1:]} {
		if m, ok := c.JA4([]byte(s)); ok {
			t.Errorf("JA4(%q) = %+v, want nothing", s, m)
		}
	}
}
