//! The geo commands against Redis 7.2.6's replies.

use expect_test::expect;

use crate::command::settings::notify;
use crate::command::testing::Shell;

#[test]
fn events() {
    let mut shell = Shell::new();
    shell.settings.notify = notify::KEYEVENT | notify::ALL;
    for (line, events) in [
        ("geoadd k 1 1 a", &["zadd@0 k"][..]),
        ("geoadd k 1 1 a", &[]),
        (
            "geosearchstore d k fromlonlat 1 1 byradius 1 km",
            &["geosearchstore@0 d"],
        ),
        ("georadius k 1 1 1 km store d", &["georadiusstore@0 d"]),
        ("georadius k 9 9 1 km store d", &["del@0 d"]),
        ("georadius none 9 9 1 km store d", &[]),
    ] {
        shell.run(line);
        assert_eq!(shell.events, events, "{line}");
    }
}

#[test]
fn replies_and_errors() {
    let lines = r#"
        geoadd Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
        geoadd Sicily nx ch 13.3 38 Palermo 180 85.05112878 edge -180 -85.05112878 corner
        geoadd Sicily nx xx 1 1 a
        geoadd Sicily ch ch nx
        geoadd Sicily 181 1 a
        geoadd Sicily 1 -85.06 a
        geoadd Sicily inf 1 a
        geoadd Sicily x 1 a
        geoadd Sicily 1 1 a 2 2
        geodist Sicily Palermo Catania
        geodist Sicily Palermo Catania km
        geodist Sicily Palermo Catania FT
        geodist Sicily Palermo Catania mi
        geodist Sicily Palermo Catania xx
        geodist Sicily Palermo Catania m m
        geodist Sicily Palermo nobody
        geodist none a b
        geodist Sicily Palermo Palermo
        geohash Sicily Palermo Catania edge corner nobody
        geopos Sicily Palermo nobody edge corner
        geopos none a
        geohash none a
        geopos Sicily
        georadius Sicily 15 37 200 km
        georadius Sicily 15 37 200 km withdist withhash withcoord desc
        georadius Sicily 15 37 200 km count 1 withdist
        georadius Sicily 15 37 200 km count 0
        georadius Sicily 15 37 200 km count 1 any
        georadius Sicily 15 37 200 km any
        georadius Sicily 15 37 200 km store d withdist
        georadius Sicily 15 37 200 km store d
        zrange d 0 -1 withscores
        georadius Sicily 15 37 200 km storedist d
        zrange d 0 -1 withscores
        georadius Sicily 15 37 0 km store d
        zcard d
        georadius_ro Sicily 15 37 200 km store d
        georadius Sicily 15 37 -1 km
        georadius Sicily 15 37 x km
        georadius Sicily 15 37 1 yd
        georadius none 15 37 1 yd
        georadiusbymember Sicily Palermo 200 km
        georadiusbymember Sicily nobody 200 km
        georadiusbymember none nobody x yd
        georadiusbymember_ro Sicily Palermo 200 km storedist d
        geosearch Sicily fromlonlat 15 37 bybox 400 400 km asc
        geosearch Sicily fromlonlat 15 37 bybox 400 400 km asc withcoord withdist
        geosearch Sicily frommember Palermo byradius 200 km desc withhash
        geosearch Sicily frommember nobody byradius 200 km
        geosearch none frommember nobody byradius 200 km
        geosearch Sicily frommember Palermo fromlonlat 1 1 byradius 2 km
        geosearch Sicily byradius 200 km asc asc
        GEOSEARCH Sicily frommember Palermo asc asc asc
        geosearch Sicily frommember Palermo byradius 1 km bybox 1 1 km
        geosearch Sicily frommember Palermo bybox -1 1 km
        geosearch Sicily frommember Palermo bybox x 1 km
        geosearch Sicily frommember Palermo bybox 1 x km
        geosearchstore d Sicily frommember Palermo byradius 200 km storedist
        zrange d 0 -1 withscores
        geosearchstore d Sicily frommember Palermo byradius 200 km withdist
        geosearchstore d none frommember Palermo byradius 200 km
        zcard d
        set s x
        geosearch s fromlonlat 1 1 byradius 1 m
        geoadd s 1 1 a
        geopos s a
        geosearchstore s Sicily fromlonlat 15 37 byradius 200 km
        zcard s
        zadd odd -5 a 1e300 b 1.5 c 4503599627370496 d
        geopos odd a b c d
        geohash odd a b c d
    "#;
    expect![[r#"
            > geoadd Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
            2
            > geoadd Sicily nx ch 13.3 38 Palermo 180 85.05112878 edge -180 -85.05112878 corner
            2
            > geoadd Sicily nx xx 1 1 a
            -ERR syntax error
            > geoadd Sicily ch ch nx
            -ERR syntax error
            > geoadd Sicily 181 1 a
            -ERR invalid longitude,latitude pair 181.000000,1.000000
            > geoadd Sicily 1 -85.06 a
            -ERR invalid longitude,latitude pair 1.000000,-85.060000
            > geoadd Sicily inf 1 a
            -ERR invalid longitude,latitude pair inf,1.000000
            > geoadd Sicily x 1 a
            -ERR value is not a valid float
            > geoadd Sicily 1 1 a 2 2
            -ERR syntax error
            > geodist Sicily Palermo Catania
            "166274.1516"
            > geodist Sicily Palermo Catania km
            "166.2742"
            > geodist Sicily Palermo Catania FT
            "545518.8700"
            > geodist Sicily Palermo Catania mi
            "103.3182"
            > geodist Sicily Palermo Catania xx
            -ERR unsupported unit provided. please use M, KM, FT, MI
            > geodist Sicily Palermo Catania m m
            -ERR syntax error
            > geodist Sicily Palermo nobody
            nil
            > geodist none a b
            nil
            > geodist Sicily Palermo Palermo
            "0.0000"
            > geohash Sicily Palermo Catania edge corner nobody
            ["sqc8b49rny0", "sqdtr74hyu0", "bp05b5048p0", "00bh0hbj200", nil]
            > geopos Sicily Palermo nobody edge corner
            [["13.36138933897018433", "38.11555639549629859"], nil*, ["180", "85.0511287799999991"], ["-179.99999731779098511", "-85.05112751263942528"]]
            > geopos none a
            [nil*]
            > geohash none a
            [nil]
            > geopos Sicily
            []
            > georadius Sicily 15 37 200 km
            ["Palermo", "Catania"]
            > georadius Sicily 15 37 200 km withdist withhash withcoord desc
            [["Palermo", "190.4424", 3479099956230698, ["13.36138933897018433", "38.11555639549629859"]], ["Catania", "56.4413", 3479447370796909, ["15.08726745843887329", "37.50266842333162032"]]]
            > georadius Sicily 15 37 200 km count 1 withdist
            [["Catania", "56.4413"]]
            > georadius Sicily 15 37 200 km count 0
            -ERR COUNT must be > 0
            > georadius Sicily 15 37 200 km count 1 any
            ["Palermo"]
            > georadius Sicily 15 37 200 km any
            -ERR the ANY argument requires COUNT argument
            > georadius Sicily 15 37 200 km store d withdist
            -ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options
            > georadius Sicily 15 37 200 km store d
            2
            > zrange d 0 -1 withscores
            ["Palermo", "3479099956230698", "Catania", "3479447370796909"]
            > georadius Sicily 15 37 200 km storedist d
            2
            > zrange d 0 -1 withscores
            ["Catania", "56.4412578701582", "Palermo", "190.44242984775784"]
            > georadius Sicily 15 37 0 km store d
            0
            > zcard d
            0
            > georadius_ro Sicily 15 37 200 km store d
            -ERR syntax error
            > georadius Sicily 15 37 -1 km
            -ERR radius cannot be negative
            > georadius Sicily 15 37 x km
            -ERR need numeric radius
            > georadius Sicily 15 37 1 yd
            -ERR unsupported unit provided. please use M, KM, FT, MI
            > georadius none 15 37 1 yd
            -ERR unsupported unit provided. please use M, KM, FT, MI
            > georadiusbymember Sicily Palermo 200 km
            ["Palermo", "Catania"]
            > georadiusbymember Sicily nobody 200 km
            -ERR could not decode requested zset member
            > georadiusbymember none nobody x yd
            []
            > georadiusbymember_ro Sicily Palermo 200 km storedist d
            -ERR syntax error
            > geosearch Sicily fromlonlat 15 37 bybox 400 400 km asc
            ["Catania", "Palermo"]
            > geosearch Sicily fromlonlat 15 37 bybox 400 400 km asc withcoord withdist
            [["Catania", "56.4413", ["15.08726745843887329", "37.50266842333162032"]], ["Palermo", "190.4424", ["13.36138933897018433", "38.11555639549629859"]]]
            > geosearch Sicily frommember Palermo byradius 200 km desc withhash
            [["Catania", 3479447370796909], ["Palermo", 3479099956230698]]
            > geosearch Sicily frommember nobody byradius 200 km
            -ERR could not decode requested zset member
            > geosearch none frommember nobody byradius 200 km
            []
            > geosearch Sicily frommember Palermo fromlonlat 1 1 byradius 2 km
            -ERR syntax error
            > geosearch Sicily byradius 200 km asc asc
            -ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for geosearch
            > GEOSEARCH Sicily frommember Palermo asc asc asc
            -ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH
            > geosearch Sicily frommember Palermo byradius 1 km bybox 1 1 km
            -ERR syntax error
            > geosearch Sicily frommember Palermo bybox -1 1 km
            -ERR height or width cannot be negative
            > geosearch Sicily frommember Palermo bybox x 1 km
            -ERR need numeric width
            > geosearch Sicily frommember Palermo bybox 1 x km
            -ERR need numeric height
            > geosearchstore d Sicily frommember Palermo byradius 200 km storedist
            2
            > zrange d 0 -1 withscores
            ["Palermo", "0", "Catania", "166.27415156960032"]
            > geosearchstore d Sicily frommember Palermo byradius 200 km withdist
            -ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options
            > geosearchstore d none frommember Palermo byradius 200 km
            0
            > zcard d
            0
            > set s x
            OK
            > geosearch s fromlonlat 1 1 byradius 1 m
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > geoadd s 1 1 a
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > geopos s a
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > geosearchstore s Sicily fromlonlat 15 37 byradius 200 km
            2
            > zcard s
            2
            > zadd odd -5 a 1e300 b 1.5 c 4503599627370496 d
            4
            > geopos odd a b c d
            [["180", "85.0511287799999991"], ["-179.99999731779098511", "-85.05112751263942528"], ["-179.99999731779098511", "-85.05112497791824921"], ["-179.99999731779098511", "85.0511287799999991"]]
            > geohash odd a b c d
            ["bp05b5048p0", "00bh0hbj200", "00bh0hbj210", "bp05b5048p0"]
        "#]]
    .assert_eq(&Shell::new().transcript(lines));
}

#[test]
fn random_points() {
    let lines = r#"
        geoadd r -94.3327342469191 7.518968300311812 p0 -46.81614004269147 17.666406561353057 p1 45.25930947889944 -73.86009392923177 p2 -175.2595230402453 57.369743956398196 p3 -86.63255484191725 -45.16373662206162 p4 178.4321407837666 -5.055203721183844 p5 121.12612245877995 -4.019954521113064 p6 50.064530595898304 -59.39520791600093 p7 48.54983698266784 62.56770221436045 p8 8.345235737988475 41.012815554253336 p9 61.708131133053314 -74.11465550141045 p10 92.96288866325426 15.486929098323984 p11
        geoadd r -71.54364257434356 -79.7280022501425 p12 131.58980531242042 -4.632654926870643 p13 78.7766126636891 64.39817604343187 p14 77.08661410003293 71.58677348925866 p15 -37.813174559732175 51.154491067488806 p16 -19.93641982172616 74.04974268976858 p17 136.39199772169496 -68.43276734575088 p18 -131.0512103277592 -48.112219990366654 p19 167.57285000335304 -10.852482673337022 p20 45.593384712049414 -33.82554626766409 p21 2.607474178461416 -19.40273599636656 p22 -53.67222404273518 14.462598258911797 p23
        geoadd r 30.330645469271616 68.71430104412175 p24 65.51356918858801 72.9207522040029 p25 128.30420390283206 83.46823962769858 p26 61.65847517850656 -57.27306426491814 p27 129.82951192185658 78.98760104254043 p28 145.6905544244052 11.74827559063499 p29 76.9741272627117 -49.10875277514829 p30 119.3788548984075 12.500499899718406 p31 -77.41531368496612 -74.21170188531102 p32 127.41929583216483 83.2670225366688 p33 -148.1334864804978 51.10120461377531 p34 -32.23374215547281 -59.36988634302237 p35
        geoadd r -74.1991511451376 45.69462083714859 p36 134.1961288661525 -77.48768960797763 p37 41.23171027145111 -77.36015860567385 p38 78.63857188146585 -28.73779517676872 p39 137.1259106090489 81.70807866336773 p40 1.9513345132958477 84.746520713882 p41 -68.51878074851795 -71.91498020007998 p42 35.91461116677627 -79.66578043019598 p43 -108.94145168576901 -15.650856945111556 p44 39.76816426824294 -58.446171527694 p45 -164.72310310036647 62.52243576771281 p46 -67.021012830207 77.97210248943736 p47
        geoadd r 142.7974709139366 -20.775829299928944 p48 -14.2525321754743 3.412407380735857 p49 51.79993861958167 16.260540528334985 p50 21.333982325540575 20.42144302569453 p51 158.62365195262674 1.1945587107621662 p52 -24.77104076486421 37.45291286450353 p53 -94.45117699267773 -33.8152336003946 p54 172.0070339215087 3.5916398578050206 p55 17.434968367270386 -83.05222731808276 p56 -30.52427623060248 13.59408634550114 p57 -172.78095949034423 19.685650022063655 p58 47.584992706601554 -74.78631319328709 p59
        geoadd r 45.84279924394414 -5.737426951559669 p60 64.5413032937191 -25.061912883021954 p61 74.50208977172363 40.46582917284583 p62 -172.01431116330843 -74.70194338021446 p63 63.367311415455646 78.76194866566374 p64 -89.59597985395072 -7.426937961815526 p65 33.3618752399361 -30.595684422838886 p66 -48.97616783761552 -31.84598759652517 p67 -47.104568900296556 16.255655995781197 p68 -71.85456958838785 -20.88274197408414 p69 98.01842847988354 -80.42339514841389 p70 24.93288074540959 39.97944088534662 p71
        zrange r 0 -1 withscores
        geopos r p1 p2 p3 p4 p5
        geohash r p0 p1 p2 p3 p4 p5 p6 p7 p8 p9 p10 p11
        geodist r p39 p64 km
        geodist r p34 p30 ft
        geodist r p23 p55 m
        geodist r p13 p41 ft
        geodist r p28 p56 km
        geodist r p10 p43 km
        geodist r p57 p34 km
        geodist r p15 p4 km
        geodist r p40 p23 ft
        geodist r p43 p10 ft
        geodist r p16 p53 ft
        geodist r p66 p34 mi
        geodist r p44 p53 ft
        geodist r p53 p52 m
        geodist r p52 p19 km
        geodist r p0 p61 mi
        geodist r p71 p28 m
        geodist r p58 p66 ft
        geodist r p69 p43 km
        geodist r p8 p36 m
        geosearch r frommember p55 bybox 105.43347679695358 2689.701494952146 km desc
        geosearch r fromlonlat -57.113043329521744 -42.07927647800472 bybox 1988.6883129144844 479.2196188225004 km asc
        geosearch r frommember p15 byradius 244.44205365534177 km asc
        geosearch r fromlonlat -90.62688785276565 20.075146776700393 byradius 449.38666975796525 km asc
        geosearch r fromlonlat -163.3734526867759 -76.52833803273114 byradius 257.1067326996481 km asc
        geosearch r fromlonlat -154.1609492416364 -19.41449247319018 bybox 1546.2136455354096 2843.066196243278 km count 3
        geosearch r frommember p42 byradius 955.4100032159218 km withdist asc
        geosearch r fromlonlat -43.104714533660484 51.19735462505136 bybox 128.8846665607668 5439.913808200065 km asc
        geosearch r fromlonlat -28.614996805011856 33.00094597868467 byradius 6840.392569645687 km asc
        geosearch r frommember p9 byradius 3475.8457388692364 km asc
        geosearch r fromlonlat 158.0623085257397 39.35967201433502 bybox 8719.302863483785 1093.0587439037026 km asc
        geosearch r frommember p30 bybox 2434.8623958474122 1420.6428932439915 km count 3
        geosearch r frommember p3 byradius 1612.3824445532123 km asc
        geosearch r frommember p65 bybox 5211.687771189503 108.80780956697578 km count 3
        geosearch r frommember p23 byradius 4347.113168387761 km desc
        geosearch r frommember p50 byradius 2276.064323687867 km withdist asc
        geosearch r fromlonlat 66.80137704416751 -58.45031463129811 bybox 7592.424502422518 1245.8131244220904 km desc
        geosearch r frommember p66 byradius 6733.393269416027 km desc
        geosearch r fromlonlat -66.6548897584967 -45.508120173562595 byradius 293.11039426352534 km withdist asc
        geosearch r fromlonlat 109.47484476707899 -50.893884902580716 bybox 8004.68220530781 208.12280783685054 km desc
        geosearch r frommember p61 byradius 836.8338494184304 km withdist asc
        geosearch r frommember p5 bybox 2569.9468317826527 7048.035983758389 km asc
        geosearch r frommember p17 bybox 2178.826235320799 2327.4026123871586 km
        geosearch r frommember p54 byradius 94.02502741649838 km asc
        geosearch r frommember p57 byradius 180.6276424475417 km asc
        geosearch r fromlonlat -104.36534380950589 14.467917130908148 byradius 3417.0810757063678 km withdist asc
        geosearch r fromlonlat -152.55216479632335 -11.464587605521615 byradius 595.8834992107298 km count 3
        geosearch r fromlonlat 92.63639809301662 -34.75921539445748 bybox 1583.0655755390421 6105.854950485924 km asc
        geosearch r frommember p65 bybox 6055.425450909331 2000.647041809873 km desc
        geosearch r fromlonlat -129.10166970274022 -28.639914843095767 byradius 1108.1773934807063 km count 3
        geosearch r frommember p39 byradius 915.4077095146846 km desc
        geosearch r fromlonlat 134.11446637770956 -77.84115946755686 bybox 3233.0011121831217 2437.588493901619 km desc
        geosearch r frommember p8 bybox 7877.234637705711 4034.0885287037713 km desc
        geosearch r fromlonlat -113.45546535147389 -52.841181111294034 byradius 204.44454277906888 km withdist asc
        geosearch r frommember p24 bybox 1775.7488923049134 2578.5673051719236 km desc
        geosearch r fromlonlat 140.83204080612785 76.38487531592673 bybox 7034.966488459376 2526.8914953579706 km
        geosearch r frommember p61 bybox 5702.7771210696665 8061.318231672772 km asc
        geosearch r fromlonlat -103.71941854549637 53.16287193503973 bybox 1475.617628688541 1790.1633064517955 km asc
        geosearch r frommember p6 bybox 406.76335544676135 1869.8336837484396 km withdist asc
        geosearch r frommember p17 bybox 2908.057674431244 6251.937435871033 km asc
    "#;
    expect![[r#"
            > geoadd r -94.3327342469191 7.518968300311812 p0 -46.81614004269147 17.666406561353057 p1 45.25930947889944 -73.86009392923177 p2 -175.2595230402453 57.369743956398196 p3 -86.63255484191725 -45.16373662206162 p4 178.4321407837666 -5.055203721183844 p5 121.12612245877995 -4.019954521113064 p6 50.064530595898304 -59.39520791600093 p7 48.54983698266784 62.56770221436045 p8 8.345235737988475 41.012815554253336 p9 61.708131133053314 -74.11465550141045 p10 92.96288866325426 15.486929098323984 p11
            12
            > geoadd r -71.54364257434356 -79.7280022501425 p12 131.58980531242042 -4.632654926870643 p13 78.7766126636891 64.39817604343187 p14 77.08661410003293 71.58677348925866 p15 -37.813174559732175 51.154491067488806 p16 -19.93641982172616 74.04974268976858 p17 136.39199772169496 -68.43276734575088 p18 -131.0512103277592 -48.112219990366654 p19 167.57285000335304 -10.852482673337022 p20 45.593384712049414 -33.82554626766409 p21 2.607474178461416 -19.40273599636656 p22 -53.67222404273518 14.462598258911797 p23
            12
            > geoadd r 30.330645469271616 68.71430104412175 p24 65.51356918858801 72.9207522040029 p25 128.30420390283206 83.46823962769858 p26 61.65847517850656 -57.27306426491814 p27 129.82951192185658 78.98760104254043 p28 145.6905544244052 11.74827559063499 p29 76.9741272627117 -49.10875277514829 p30 119.3788548984075 12.500499899718406 p31 -77.41531368496612 -74.21170188531102 p32 127.41929583216483 83.2670225366688 p33 -148.1334864804978 51.10120461377531 p34 -32.23374215547281 -59.36988634302237 p35
            12
            > geoadd r -74.1991511451376 45.69462083714859 p36 134.1961288661525 -77.48768960797763 p37 41.23171027145111 -77.36015860567385 p38 78.63857188146585 -28.73779517676872 p39 137.1259106090489 81.70807866336773 p40 1.9513345132958477 84.746520713882 p41 -68.51878074851795 -71.91498020007998 p42 35.91461116677627 -79.66578043019598 p43 -108.94145168576901 -15.650856945111556 p44 39.76816426824294 -58.446171527694 p45 -164.72310310036647 62.52243576771281 p46 -67.021012830207 77.97210248943736 p47
            12
            > geoadd r 142.7974709139366 -20.775829299928944 p48 -14.2525321754743 3.412407380735857 p49 51.79993861958167 16.260540528334985 p50 21.333982325540575 20.42144302569453 p51 158.62365195262674 1.1945587107621662 p52 -24.77104076486421 37.45291286450353 p53 -94.45117699267773 -33.8152336003946 p54 172.0070339215087 3.5916398578050206 p55 17.434968367270386 -83.05222731808276 p56 -30.52427623060248 13.59408634550114 p57 -172.78095949034423 19.685650022063655 p58 47.584992706601554 -74.78631319328709 p59
            12
            > geoadd r 45.84279924394414 -5.737426951559669 p60 64.5413032937191 -25.061912883021954 p61 74.50208977172363 40.46582917284583 p62 -172.01431116330843 -74.70194338021446 p63 63.367311415455646 78.76194866566374 p64 -89.59597985395072 -7.426937961815526 p65 33.3618752399361 -30.595684422838886 p66 -48.97616783761552 -31.84598759652517 p67 -47.104568900296556 16.255655995781197 p68 -71.85456958838785 -20.88274197408414 p69 98.01842847988354 -80.42339514841389 p70 24.93288074540959 39.97944088534662 p71
            12
            > zrange r 0 -1 withscores
            ["p63", "8231749091648", "p19", "230751880494298", "p54", "474002094929169", "p44", "532753429454866", "p12", "578481275507981", "p32", "589388439021902", "p42", "592598172961062", "p4", "656968992953222", "p35", "784382952542876", "p67", "908336631683108", "p69", "925851384497875", "p65", "933515846490973", "p58", "1151415242301432", "p0", "1317608333098938", "p3", "1427042542991744", "p46", "1440129346511311", "p34", "1450864807345829", "p23", "1751793195422244", "p68", "1757609355864810", "p1", "1757898764174381", "p57", "1857639284865144", "p49", "1868321148818411", "p53", "1933506592399483", "p36", "1980931980653326", "p47", "2094652172067011", "p16", "2118919951622278", "p17", "2222643169843955", "p56", "2263149305323522", "p43", "2300350606678933", "p38", "2302884973658143", "p45", "2372754798571742", "p59", "2398565067203366", "p2", "2410153579427613", "p10", "2419663530897123", "p7", "2465020196599808", "p27", "2476921284224625", "p30", "2519843276121799", "p66", "2589066300434752", "p22", "2604121040144932", "p21", "2679589752357673", "p61", "2707459439559896", "p39", "2730841283801824", "p60", "2763455999675174", "p70", "2818520512328298", "p37", "2866374372089179", "p18", "2977592016017407", "p6", "3226610569475026", "p13", "3235004296520739", "p48", "3309720537841411", "p20", "3351263331594782", "p5", "3376100944721667", "p51", "3412767541148908", "p9", "3473627256252177", "p71", "3506518353413715", "p50", "3542675692159744", "p62", "3649347439420789", "p41", "3753142221334923", "p24", "3768547721155549", "p8", "3823862107404758", "p25", "3887445628408941", "p64", "3900397486725274", "p15", "3913017819702280", "p14", "3914284049332308", "p11", "3960239789887820", "p31", "3995967007364462", "p29", "4101987666855918", "p52", "4116704930586238", "p55", "4127100132887306", "p28", "4357670427290170", "p33", "4360221685114937", "p26", "4360339909009779", "p40", "4455690686955721"]
            > geopos r p1 p2 p3 p4 p5
            [["-46.8161424994468689", "17.66640701903831001"], ["45.25930792093276978", "-73.86009279564780172"], ["-175.25952547788619995", "57.36974443275902047"], ["-86.63255363702774048", "-45.1637363913756289"], ["178.43213886022567749", "-5.05520352256531424"]]
            > geohash r p0 p1 p2 p3 p4 p5 p6 p7 p8 p9 p10 p11
            ["9ckfv2ucpv0", "dgnsw8jd2b0", "j4b5vfhvf20", "b45q7ggfvp0", "4pfrhdhn5j0", "rznghrdr610", "qxq1hk1q540", "jj7w55rvu40", "v54eby0gm10", "spmcmfhufp0", "j6gfk5y6zd0", "w4f057m9bk0"]
            > geodist r p39 p64 km
            "11997.1582"
            > geodist r p34 p30 ft
            "55268624.5570"
            > geodist r p23 p55 m
            "14600265.1930"
            > geodist r p13 p41 ft
            "35750653.7163"
            > geodist r p28 p56 km
            "18850.2832"
            > geodist r p10 p43 km
            "882.9088"
            > geodist r p57 p34 km
            "10648.3244"
            > geodist r p15 p4 km
            "16956.3720"
            > geodist r p40 p23 ft
            "30538627.4132"
            > geodist r p43 p10 ft
            "2896682.3199"
            > geodist r p16 p53 ft
            "6030037.3936"
            > geodist r p66 p34 mi
            "11021.0611"
            > geodist r p44 p53 ft
            "34651344.2390"
            > geodist r p53 p52 m
            "15707927.5597"
            > geodist r p52 p19 km
            "8667.0937"
            > geodist r p0 p61 mi
            "10592.9202"
            > geodist r p71 p28 m
            "5964634.9466"
            > geodist r p58 p66 ft
            "56207463.4489"
            > geodist r p69 p43 km
            "8071.8043"
            > geodist r p8 p36 m
            "6956424.0995"
            > geosearch r frommember p55 bybox 105.43347679695358 2689.701494952146 km desc
            ["p55"]
            > geosearch r fromlonlat -57.113043329521744 -42.07927647800472 bybox 1988.6883129144844 479.2196188225004 km asc
            []
            > geosearch r frommember p15 byradius 244.44205365534177 km asc
            ["p15"]
            > geosearch r fromlonlat -90.62688785276565 20.075146776700393 byradius 449.38666975796525 km asc
            []
            > geosearch r fromlonlat -163.3734526867759 -76.52833803273114 byradius 257.1067326996481 km asc
            []
            > geosearch r fromlonlat -154.1609492416364 -19.41449247319018 bybox 1546.2136455354096 2843.066196243278 km count 3
            []
            > geosearch r frommember p42 byradius 955.4100032159218 km withdist asc
            [["p42", "0.0000"], ["p32", "384.4873"], ["p12", "872.6217"]]
            > geosearch r fromlonlat -43.104714533660484 51.19735462505136 bybox 128.8846665607668 5439.913808200065 km asc
            []
            > geosearch r fromlonlat -28.614996805011856 33.00094597868467 byradius 6840.392569645687 km asc
            ["p53", "p16", "p57", "p1", "p68", "p23", "p9", "p49", "p36", "p17", "p71", "p51", "p47", "p24", "p41", "p8", "p64", "p25", "p22"]
            > geosearch r frommember p9 byradius 3475.8457388692364 km asc
            ["p9", "p71", "p51", "p53", "p24"]
            > geosearch r fromlonlat 158.0623085257397 39.35967201433502 bybox 8719.302863483785 1093.0587439037026 km asc
            []
            > geosearch r frommember p30 bybox 2434.8623958474122 1420.6428932439915 km count 3
            ["p30"]
            > geosearch r frommember p3 byradius 1612.3824445532123 km asc
            ["p3", "p46"]
            > geosearch r frommember p65 bybox 5211.687771189503 108.80780956697578 km count 3
            ["p65"]
            > geosearch r frommember p23 byradius 4347.113168387761 km desc
            ["p16", "p36", "p53", "p57", "p1", "p68", "p23"]
            > geosearch r frommember p50 byradius 2276.064323687867 km withdist asc
            [["p50", "0.0000"]]
            > geosearch r fromlonlat 66.80137704416751 -58.45031463129811 bybox 7592.424502422518 1245.8131244220904 km desc
            ["p45", "p7", "p27"]
            > geosearch r frommember p66 byradius 6733.393269416027 km desc
            ["p49", "p70", "p56", "p51", "p35", "p50", "p43", "p38", "p10", "p59", "p2", "p39", "p30", "p27", "p7", "p22", "p45", "p61", "p60", "p21", "p66"]
            > geosearch r fromlonlat -66.6548897584967 -45.508120173562595 byradius 293.11039426352534 km withdist asc
            []
            > geosearch r fromlonlat 109.47484476707899 -50.893884902580716 bybox 8004.68220530781 208.12280783685054 km desc
            []
            > geosearch r frommember p61 byradius 836.8338494184304 km withdist asc
            [["p61", "0.0000"]]
            > geosearch r frommember p5 bybox 2569.9468317826527 7048.035983758389 km asc
            ["p5", "p55", "p20", "p58"]
            > geosearch r frommember p17 bybox 2178.826235320799 2327.4026123871586 km
            ["p47", "p17"]
            > geosearch r frommember p54 byradius 94.02502741649838 km asc
            ["p54"]
            > geosearch r frommember p57 byradius 180.6276424475417 km asc
            ["p57"]
            > geosearch r fromlonlat -104.36534380950589 14.467917130908148 byradius 3417.0810757063678 km withdist asc
            [["p0", "1339.9853"], ["p65", "2930.1476"], ["p44", "3387.5567"]]
            > geosearch r fromlonlat -152.55216479632335 -11.464587605521615 byradius 595.8834992107298 km count 3
            []
            > geosearch r fromlonlat 92.63639809301662 -34.75921539445748 bybox 1583.0655755390421 6105.854950485924 km asc
            []
            > geosearch r frommember p65 bybox 6055.425450909331 2000.647041809873 km desc
            ["p44", "p65"]
            > geosearch r fromlonlat -129.10166970274022 -28.639914843095767 byradius 1108.1773934807063 km count 3
            []
            > geosearch r frommember p39 byradius 915.4077095146846 km desc
            ["p39"]
            > geosearch r fromlonlat 134.11446637770956 -77.84115946755686 bybox 3233.0011121831217 2437.588493901619 km desc
            ["p56", "p63", "p18", "p70", "p37"]
            > geosearch r frommember p8 bybox 7877.234637705711 4034.0885287037713 km desc
            ["p47", "p28", "p17", "p64", "p15", "p14", "p25", "p24", "p8"]
            > geosearch r fromlonlat -113.45546535147389 -52.841181111294034 byradius 204.44454277906888 km withdist asc
            []
            > geosearch r frommember p24 bybox 1775.7488923049134 2578.5673051719236 km desc
            ["p64", "p24"]
            > geosearch r fromlonlat 140.83204080612785 76.38487531592673 bybox 7034.966488459376 2526.8914953579706 km
            ["p41", "p25", "p64", "p15", "p28", "p33", "p26", "p40", "p47", "p17"]
            > geosearch r frommember p61 bybox 5702.7771210696665 8061.318231672772 km asc
            ["p61", "p39", "p21", "p30", "p60", "p27", "p7", "p45"]
            > geosearch r fromlonlat -103.71941854549637 53.16287193503973 bybox 1475.617628688541 1790.1633064517955 km asc
            []
            > geosearch r frommember p6 bybox 406.76335544676135 1869.8336837484396 km withdist asc
            [["p6", "0.0000"]]
            > geosearch r frommember p17 bybox 2908.057674431244 6251.937435871033 km asc
            ["p17", "p41", "p47", "p26", "p33", "p16"]
        "#]]
    .assert_eq(&Shell::new().transcript(lines));
}
