//@ stdin: 3\n10 20 30\nthe rest of it\n
//@ files: out.txt
// iostream, stringstream, fstream, containers, sorting, formatting.
#include <fstream>
#include <iomanip>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
int main() {
    int n, s = 0, v;
    std::cin >> n;
    while (n-- && std::cin >> v) s += v;
    std::string rest;
    std::getline(std::cin >> std::ws, rest);
    std::cout << s << " " << rest << " " << std::setprecision(10) << 2.0 / 3 << std::hex << " " << 255 << "\n";
    std::map<std::string, int> m{{"b", 2}, {"a", 1}};
    std::ofstream o("out.txt");
    for (auto &[k, x] : m) o << k << "=" << x << "\n";
    o.close();
    std::ifstream i("out.txt");
    std::stringstream ss;
    ss << i.rdbuf();
    std::cout << ss.str();
    std::cerr << "to stderr\n";
}
